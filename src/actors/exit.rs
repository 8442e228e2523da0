//! Telling a parent how a child ended. actix drops an actor that panicked without a word; a guard that the actor owns
//! is dropped with it and speaks.

/// Speaks when it is dropped: with what it was set to, or with what it was made with if the actor panicked or was
/// dropped before its time.
pub struct ExitGuard<E: 'static> {
    tell: Option<Box<dyn FnOnce(E)>>,
    exit: Option<E>,
}

impl<E> ExitGuard<E> {
    /// A guard that tells `unexpected` unless something else is [set](Self::set).
    pub fn new(unexpected: E, tell: impl FnOnce(E) + 'static) -> Self {
        Self { tell: Some(Box::new(tell)), exit: Some(unexpected) }
    }

    /// Sets what is told in the end.
    pub fn set(&mut self, exit: E) {
        self.exit = Some(exit);
    }

    /// Whether this is what would be told now.
    pub fn is(&self, exit: E) -> bool
    where
        E: PartialEq,
    {
        self.exit == Some(exit)
    }
}

impl<E> Drop for ExitGuard<E> {
    fn drop(&mut self) {
        if let (Some(tell), Some(exit)) = (self.tell.take(), self.exit.take()) {
            tell(exit);
        }
    }
}
