//! Where the elements of a JSON array are: one walk that checks everything, and builds and copies
//! nothing.
//!
//! It takes exactly what `serde_json` takes for a `&RawValue`, so that what is asked of it later
//! about the same text it has no reason to refuse: any depth, numbers of any size, and half of a
//! surrogate pair. It does not call itself, and has no words for what is wrong.
//!
//! A rest of a text goes into each step, and what follows the part in question comes out, or `None`
//! where that is not JSON. Cuts are made beside ASCII alone, so that rests of UTF-8 stay UTF-8.

use alloc::vec::Vec;
use core::ops::Range;

#[cfg(test)]
mod tests;

/// Hands to `each` where in `text` the elements are of the array that starts at `start` and is all
/// that is there, but for white space. `None` where it is none.
pub(crate) fn elements(text: &str, start: usize, mut each: impl FnMut(Range<usize>)) -> Option<()> {
    let place = |rest: &[u8]| text.len() - rest.len();
    let (b'[', after) = token(text.as_bytes().get(start..)?)? else {
        return None;
    };
    let mut rest = match token(after)? {
        (b']', after) => return space(after).is_empty().then_some(()),
        (_, _) => space(after),
    };
    loop {
        let after = value(rest)?;
        each(place(rest)..place(after));
        rest = match token(after)? {
            (b',', after) => space(after),
            (b']', after) => return space(after).is_empty().then_some(()),
            (_, _) => return None,
        };
    }
}

/// Behind the value in front, which may nest as deep as it likes.
fn value(mut rest: &[u8]) -> Option<&[u8]> {
    let mut open = Open::default();
    loop {
        if open.is_object() {
            rest = key(rest)?;
        }
        let (first, after) = token(rest)?;
        rest = match first {
            b'"' => string(after)?,
            b'{' | b'[' => match (first, token(after)?) {
                (b'{', (b'}', after)) | (b'[', (b']', after)) => after,
                (_, _) => {
                    open.push(first == b'{');
                    rest = after;
                    continue;
                }
            },
            b't' => after.strip_prefix(b"rue")?,
            b'f' => after.strip_prefix(b"alse")?,
            b'n' => after.strip_prefix(b"ull")?,
            _ => number(first, after)?,
        };
        loop {
            if open.is_empty() {
                return Some(rest);
            }
            let (first, after) = token(rest)?;
            rest = after;
            match (first, open.is_object()) {
                (b',', _) => break,
                (b'}', true) | (b']', false) => open.pop(),
                (_, _) => return None,
            }
        }
    }
}

/// Behind a key and its colon.
#[inline]
fn key(rest: &[u8]) -> Option<&[u8]> {
    let (b'"', rest) = token(rest)? else {
        return None;
    };
    let (b':', rest) = token(string(rest)?)? else {
        return None;
    };
    Some(rest)
}

/// Behind the string whose quote in front is taken already.
#[inline]
fn string(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        match plain(rest) {
            [b'"', after @ ..] => return Some(after),
            [b'\\', after @ ..] => rest = escapes(after)?,
            _ => return None,
        }
    }
}

/// From the first byte of a string's content that does not stand for itself: its end, an escape, or
/// what may not stand there.
#[inline]
fn plain(mut rest: &[u8]) -> &[u8] {
    const EACH: u64 = u64::MAX / 0xff;
    while let Some((chunk, after)) = rest.split_first_chunk() {
        // Eight bytes at a time. Of each, the top bit says whether it is such a byte; above the
        // first of them, where the subtractions borrow, it may say so wrongly.
        let chunk = u64::from_le_bytes(*chunk);
        let quote_or_control = (chunk ^ (EACH * 2)).wrapping_sub(EACH * 0x21);
        let backslash = (chunk ^ (EACH * u64::from(b'\\'))).wrapping_sub(EACH);
        let found = (quote_or_control | backslash) & !chunk & (EACH * 0x80);
        if found != 0 {
            let before = found.trailing_zeros() / 8;
            return rest.get(before as usize..).unwrap_or_default();
        }
        rest = after;
    }
    while let [0x20 | 0x21 | 0x23..=0x5b | 0x5d.., after @ ..] = rest {
        rest = after;
    }
    rest
}

/// Behind an escape whose backslash is taken already, and those that follow at once. Half of a
/// surrogate pair will do.
#[inline(never)] // most strings do without, and the walk is quicker without it inside
fn escapes(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (kind, after) = rest.split_first()?;
        rest = match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => after,
            b'u' => {
                let (digits, after) = after.split_first_chunk::<4>()?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(after)?
            }
            _ => return None,
        };
        match rest {
            [b'\\', after @ ..] => rest = after,
            _ => return Some(rest),
        }
    }
}

/// Behind the number that starts with `first`.
fn number(first: u8, rest: &[u8]) -> Option<&[u8]> {
    let (first, rest) = match first {
        b'-' => rest.split_first()?,
        _ => (&first, rest),
    };
    let mut rest = match first {
        b'0' => rest,
        b'1'..=b'9' => digits(rest),
        _ => return None,
    };
    if let [b'.', b'0'..=b'9', after @ ..] = rest {
        rest = digits(after);
    }
    match rest {
        [b'e' | b'E', b'+' | b'-', b'0'..=b'9', after @ ..]
        | [b'e' | b'E', b'0'..=b'9', after @ ..] => Some(digits(after)),
        _ => Some(rest),
    }
}

/// Behind the digits in front.
fn digits(mut rest: &[u8]) -> &[u8] {
    while let [b'0'..=b'9', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// The first byte that is not white space, and what is behind it.
#[inline]
fn token(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (first, after) = match rest {
        [first, after @ ..] if *first > b' ' => (first, after),
        _ => space(rest).split_first()?,
    };
    Some((*first, after))
}

/// Behind white space.
fn space(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// The arrays and objects around a place, a bit for each.
struct Open {
    /// From the innermost, which is the lowest bit: 0 for an object and 1 for an array. Above the
    /// outermost is one bit more.
    inner: u64,
    /// Those further out, each as full as can be.
    outer: Vec<u64>,
}

impl Default for Open {
    fn default() -> Self {
        Self {
            inner: 1,
            outer: Vec::new(),
        }
    }
}

impl Open {
    #[inline]
    fn is_empty(&self) -> bool {
        self.inner == 1
    }

    /// Whether the innermost is an object.
    #[inline]
    fn is_object(&self) -> bool {
        self.inner & 1 == 0
    }

    #[inline]
    fn push(&mut self, is_object: bool) {
        if self.inner.leading_zeros() == 0 {
            self.outer.push(self.inner);
            self.inner = 1;
        }
        self.inner = (self.inner << 1) | u64::from(!is_object);
    }

    #[inline]
    fn pop(&mut self) {
        self.inner >>= 1;
        if self.is_empty()
            && let Some(outer) = self.outer.pop()
        {
            self.inner = outer;
        }
    }
}
