-- Who left lately keeps a pool that follows demand from shrinking at once.
CREATE INDEX assignment_ended ON assignment (ended_at) WHERE status = 'ended';
