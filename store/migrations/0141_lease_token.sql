-- Makes a takeover, which changes the token, a change of a key: it waits for who holds the row FOR KEY SHARE, as every write of a
-- controller does, and a renewal does not.
CREATE UNIQUE INDEX lease_token ON lease (name, token);
