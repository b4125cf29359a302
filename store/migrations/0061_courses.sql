-- Who is expected in a course: the content of its roster file, read beside lablink.yaml.
CREATE TABLE roster (
    course text PRIMARY KEY,
    emails text[] NOT NULL
);

-- How a course went, worked out once after its end.
CREATE TABLE course_report (
    course      text NOT NULL,
    from_at     timestamptz NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT now(),
    figures     jsonb NOT NULL,
    PRIMARY KEY (course, from_at)
);
