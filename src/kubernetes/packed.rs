//! Values as caches keep them: of thousands that are kept, few are read at a time, so each is one compressed text rather than
//! trees of strings.

use std::marker::PhantomData;

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type whose values resemble each other.
pub trait Typical: Serialize + DeserializeOwned {
    /// A text that most values resemble, as they are serialized: what they share with it takes no room.
    const TYPICAL: &'static str;
}

/// A value that is packed.
#[derive(Clone)]
pub struct Packed<T> {
    text: Box<[u8]>,
    of: PhantomData<fn() -> T>,
}

/// What was packed does not unpack: this process's memory is damaged.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("a cached object does not decompress: {0}")]
    Decompress(#[from] lz4_flex::block::DecompressError),
    #[error("a cached object cannot be decoded: {0}")]
    Decode(#[from] serde_json::Error),
}

impl<T: Typical> Packed<T> {
    /// Packs a value. (One that cannot be serialized would not unpack: those of Kubernetes all can.)
    pub fn new(value: &T) -> Self {
        let text = serde_json::to_vec(value).unwrap_or_default();
        let text = compress_prepend_size_with_dict(&text, T::TYPICAL.as_bytes()).into_boxed_slice();
        Self { text, of: PhantomData }
    }

    /// The value as it was before it was packed.
    ///
    /// # Errors
    /// Returns an error if the text is damaged.
    pub fn unpack(&self) -> Result<T, UnpackError> {
        let text = decompress_size_prepended_with_dict(&self.text, T::TYPICAL.as_bytes())?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// The size of the packed value, in bytes.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.text.len()
    }
}

#[cfg(test)]
mod tests;
