-- What a hand changed of what a pool's VMs share, in words; empty: nothing was found.
ALTER TABLE base ADD COLUMN drift text NOT NULL DEFAULT '';
