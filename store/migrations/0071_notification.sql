-- Every condition that turned, written by whoever wrote the condition, in the same transaction: the outbox of notifications.
CREATE TABLE notice (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    subject text NOT NULL,
    type    text NOT NULL,
    status  boolean NOT NULL,
    reason  text NOT NULL,
    message text NOT NULL
);

CREATE FUNCTION note_turned_conditions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO notice (subject, type, status, reason, message)
    SELECT CASE WHEN TG_TABLE_NAME = 'pool' THEN 'pool/' || (to_jsonb(NEW)->>'name') ELSE TG_TABLE_NAME END,
           n.type, (n.said->>'status')::boolean, n.said->>'reason', n.said->>'message'
      FROM jsonb_each(NEW.conditions) AS n (type, said)
     WHERE (n.said->>'status') IS DISTINCT FROM (OLD.conditions->n.type->>'status');
    IF FOUND THEN
        PERFORM pg_notify('notice', '');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER note_conditions AFTER UPDATE OF conditions ON pool
    FOR EACH ROW WHEN (OLD.conditions IS DISTINCT FROM NEW.conditions) EXECUTE FUNCTION note_turned_conditions();
CREATE TRIGGER note_conditions AFTER UPDATE OF conditions ON deployment
    FOR EACH ROW WHEN (OLD.conditions IS DISTINCT FROM NEW.conditions) EXECUTE FUNCTION note_turned_conditions();

-- One message to one receiver. The receiver is a digest: its address may hold a secret, and stays in the document.
CREATE TABLE notification (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    receiver text NOT NULL,
    email    text,           -- instead of a declared receiver: a person
    topic    text NOT NULL,  -- what it is about: "pool/client Stalled"
    trouble  boolean NOT NULL,
    body     jsonb NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at   timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome  text CHECK (outcome IN ('sent', 'withdrawn', 'given up')),
    error    text,
    CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX notification_due ON notification (due_at) WHERE ended_at IS NULL;
CREATE INDEX notification_topic ON notification (receiver, topic, id DESC);
