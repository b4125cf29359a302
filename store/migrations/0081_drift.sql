-- What somebody could change of an instance by hand, as listed; NULL: listed before this was looked at.
ALTER TABLE instance
    ADD COLUMN security_groups text[],
    ADD COLUMN profile         text,
    ADD COLUMN tags            jsonb NOT NULL DEFAULT '{}';
