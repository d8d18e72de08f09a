-- Evidence: pictures, sounds and films that a proctoring client uploads. The files are elsewhere.
CREATE TABLE attempt_evidence (
    id           text COLLATE "C" NOT NULL, -- 128 random bits, hexadecimal
    attempt_id   bigint NOT NULL,           -- the attempt that it is about
    kind         text NOT NULL,             -- what it shows
    content_type text NOT NULL,             -- media type
    bytes        bigint NOT NULL,           -- size, as announced
    file         text NOT NULL,             -- where it is, within the place of evidence
    session      text,                      -- the session in which it was made, as the client says
    event_no     bigint,                    -- the event of that session which it belongs to, as the client says
    at           timestamptz NOT NULL,      -- when it was announced, by the engine's clock
    stored_at    timestamptz,               -- since when the file is known to be there; null: never uploaded
    CONSTRAINT attempt_evidence_pkey PRIMARY KEY (id),
    CONSTRAINT attempt_evidence_id_check CHECK (id ~ '^[0-9a-f]{32}$'),
    CONSTRAINT attempt_evidence_kind_check CHECK (kind IN ('snapshot', 'audio', 'video', 'screen')),
    CONSTRAINT attempt_evidence_bytes_check CHECK (bytes > 0),
    CONSTRAINT attempt_evidence_event_no_check CHECK (event_no >= 0),
    CONSTRAINT attempt_evidence_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES exam_attempt_keys (attempt_id)
);

CREATE INDEX attempt_evidence_attempt_id_idx ON attempt_evidence (attempt_id, at);

-- What is over its time, and what was announced and never came.
CREATE INDEX attempt_evidence_at_idx ON attempt_evidence (at);
CREATE INDEX attempt_evidence_unstored_idx ON attempt_evidence (at) WHERE stored_at IS NULL;
