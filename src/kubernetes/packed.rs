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
    bytes: Box<[u8]>,
    of: PhantomData<fn() -> T>,
}

/// A value cannot be packed, or what was packed does not unpack.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("the packed value does not decompress")]
    Decompress(#[from] lz4_flex::block::DecompressError),
    #[error("the value cannot be decoded as it is written: {0}")]
    Decode(serde_json::Error),
    #[error("the value cannot be written: {0}")]
    Encode(serde_json::Error),
}

impl<T: Typical> Packed<T> {
    /// Packs a value.
    ///
    /// # Errors
    /// Returns an error if the value would not unpack: a time before the year 0 is written in a form that is not read.
    pub fn new(value: &T) -> Result<Self, PackError> {
        let text = serde_json::to_vec(value).map_err(PackError::Encode)?;
        serde_json::from_slice::<T>(&text).map_err(PackError::Decode)?;
        let bytes = compress_prepend_size_with_dict(&text, T::TYPICAL.as_bytes()).into_boxed_slice();
        Ok(Self { bytes, of: PhantomData })
    }

    /// The value as it was before it was packed.
    ///
    /// # Errors
    /// Returns an error if this process's memory is damaged.
    pub fn unpack(&self) -> Result<T, PackError> {
        let text = decompress_size_prepended_with_dict(&self.bytes, T::TYPICAL.as_bytes())?;
        serde_json::from_slice(&text).map_err(PackError::Decode)
    }

    /// The size of the packed value, in bytes.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Two are equal if the values are.
impl<T> PartialEq for Packed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

#[cfg(test)]
mod tests;
