-- The few runs of a state after which AWS may have what the state does not know, among thousands of others.
CREATE INDEX run_without_success ON run (state_key, id DESC) WHERE applying_at IS NOT NULL AND outcome <> 'succeeded';
