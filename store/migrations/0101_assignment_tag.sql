-- The tag lablink:assignment of an instance, as listed: the id of the assignment and a keyed digest of the email, never the address.
ALTER TABLE instance ADD COLUMN assignment text;
