//! A part of a world that most steps leave as it is.

use std::{cell::RefCell, ops::Deref, rc::Rc};

use selvedge_core::{
    Canonical, Time,
    canon::{Canon, Digest},
};

/// Shared by all worlds in which it is the same, with its digest for the canonical hash.
#[derive(Debug)]
pub(super) struct Piece<T>(Rc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    value: T,
    /// As it was made for that moment.
    digest: RefCell<Option<(Time, Rc<Digest>)>>,
}

impl<T> Piece<T> {
    pub(super) fn new(value: T) -> Self {
        let digest = RefCell::default();
        Self(Rc::new(Inner { value, digest }))
    }
}

impl<T: Clone> Piece<T> {
    /// What is changed is copied first, where other worlds have it too.
    pub(super) fn change(&mut self) -> &mut T {
        let inner = Rc::make_mut(&mut self.0);
        inner.digest.take();
        &mut inner.value
    }
}

impl<T: Canonical> Piece<T> {
    /// Feeds what it contributes at `now`.
    pub(super) fn feed(&self, now: Time, canon: &mut Canon) {
        let mut known = self.0.digest.borrow_mut();
        let known = match &mut *known {
            Some((at, digest)) if *at == now => digest,
            stale => {
                let digest = Rc::new(Digest::of(&self.0.value, now));
                &mut stale.insert((now, digest)).1
            }
        };
        known.canonical(canon);
    }
}

impl<T> Deref for Piece<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Clone for Piece<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: Clone> Clone for Inner<T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            digest: RefCell::default(),
        }
    }
}
