//! The HTTP client that all adapters share.

/// Limits of the client.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Largest answer that is read, in bytes.
    pub max_answer_bytes: usize,
}

/// A client: cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpClient;
