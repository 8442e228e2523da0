-- How the certificate of a source's server is checked: not at all where tls_verify is false; by the certificates of tls_ca (PEM)
-- alone where there are any; else by what the machine trusts.
ALTER TABLE workflow_sources
    ADD COLUMN IF NOT EXISTS tls_verify boolean NOT NULL DEFAULT true,
    ADD COLUMN IF NOT EXISTS tls_ca text;
