-- What lists, meters and budgets look for in tables that only ever grow.
CREATE UNIQUE INDEX assignment_seq ON assignment (seq);
CREATE INDEX assignment_created ON assignment (created_at);
CREATE INDEX run_ended ON run (ended_at);
CREATE INDEX notification_ended ON notification (ended_at);
-- With the rows that have not ended, which the indexes before left out.
CREATE INDEX assignment_ended_or_not ON assignment (ended_at);
DROP INDEX assignment_ended;
CREATE INDEX vm_ended_or_not ON vm (ended_at);
DROP INDEX vm_ended;
