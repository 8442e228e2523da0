-- An answer of a source is about two kilobytes of JSON, just enough to be compressed. lz4 costs a third of what pglz
-- does; a server that is too old for it (before 14) or built without it keeps pglz.
DO $$
BEGIN
    ALTER TABLE tasks ALTER COLUMN output_data SET COMPRESSION lz4, ALTER COLUMN result SET COMPRESSION lz4;
EXCEPTION
    WHEN feature_not_supported OR invalid_parameter_value OR syntax_error THEN
        RAISE NOTICE 'lz4 is not available; answers are compressed with pglz';
END
$$;
