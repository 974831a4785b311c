//! A serializer that writes nothing: it refuses what canonical JSON would change without a word, and says where.
//!
//! Neither the text nor the tree of a value can be looked at instead: both hold `null` where a number was not
//! finite, and the text has integers rounded.

use super::canonical::{LARGEST_INTEGER, NotCanonical};
use super::difference::step;
use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// Fails where `value` would lose something in canonical JSON.
///
/// # Errors
/// [`NotCanonical`] with the JSON pointer.
pub(super) fn check(value: &impl Serialize) -> Result<(), NotCanonical> {
    value.serialize(Guard { pointer: &mut String::new() })
}

impl Error for NotCanonical {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }
}

/// At one place of a value.
struct Guard<'a> {
    pointer: &'a mut String,
}

/// Inside of a list or an object.
struct Inside<'a> {
    pointer: &'a mut String,
    /// Length of the pointer to the list or object itself.
    length: usize,
    index: usize,
}

impl<'a> Guard<'a> {
    fn integer(self, magnitude: u128, text: &dyn std::fmt::Display) -> Result<(), NotCanonical> {
        if magnitude > u128::from(LARGEST_INTEGER) {
            return Err(NotCanonical::Integer { pointer: self.pointer.clone(), value: text.to_string() });
        }
        Ok(())
    }

    fn inside(self) -> Inside<'a> {
        Inside { length: self.pointer.len(), pointer: self.pointer, index: 0 }
    }

    /// Inside of the one entry that an enum's variant is.
    fn variant(self, variant: &str) -> Inside<'a> {
        step(self.pointer, variant);
        self.inside()
    }
}

impl Inside<'_> {
    fn at(&mut self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), NotCanonical> {
        self.pointer.truncate(self.length);
        step(self.pointer, key);
        value.serialize(Guard { pointer: self.pointer })?;
        self.pointer.truncate(self.length);
        Ok(())
    }

    fn next(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), NotCanonical> {
        let key = self.index.to_string();
        self.index += 1;
        self.at(&key, value)
    }
}

macro_rules! integers {
    ($($name:ident($type:ty, $magnitude:ident)),*) => {
        $(fn $name(self, value: $type) -> Result<(), NotCanonical> {
            self.integer(u128::from(value.$magnitude()), &value)
        })*
    };
}

/// The magnitude of an unsigned integer.
trait Magnitude {
    fn magnitude(self) -> Self;
}

macro_rules! unsigned {
    ($($type:ty),*) => { $(impl Magnitude for $type { fn magnitude(self) -> Self { self } })* };
}

unsigned!(u8, u16, u32, u64, u128);

impl<'a> Serializer for Guard<'a> {
    type Ok = ();
    type Error = NotCanonical;
    type SerializeSeq = Inside<'a>;
    type SerializeTuple = Inside<'a>;
    type SerializeTupleStruct = Inside<'a>;
    type SerializeTupleVariant = Inside<'a>;
    type SerializeMap = Inside<'a>;
    type SerializeStruct = Inside<'a>;
    type SerializeStructVariant = Inside<'a>;

    integers!(
        serialize_i8(i8, unsigned_abs),
        serialize_i16(i16, unsigned_abs),
        serialize_i32(i32, unsigned_abs),
        serialize_i64(i64, unsigned_abs),
        serialize_i128(i128, unsigned_abs),
        serialize_u8(u8, magnitude),
        serialize_u16(u16, magnitude),
        serialize_u32(u32, magnitude),
        serialize_u64(u64, magnitude),
        serialize_u128(u128, magnitude)
    );

    fn serialize_f32(self, value: f32) -> Result<(), NotCanonical> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), NotCanonical> {
        if value.is_finite() { Ok(()) } else { Err(NotCanonical::NotFinite { pointer: self.pointer.clone(), value }) }
    }

    fn serialize_bool(self, _: bool) -> Result<(), NotCanonical> {
        Ok(())
    }

    fn serialize_char(self, _: char) -> Result<(), NotCanonical> {
        Ok(())
    }

    fn serialize_str(self, _: &str) -> Result<(), NotCanonical> {
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), NotCanonical> {
        Ok(())
    }

    fn serialize_none(self) -> Result<(), NotCanonical> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NotCanonical> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), NotCanonical> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), NotCanonical> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), NotCanonical> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), NotCanonical> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), NotCanonical> {
        self.inside().at(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'a>, NotCanonical> {
        Ok(self.inside())
    }

    fn serialize_tuple(self, _: usize) -> Result<Inside<'a>, NotCanonical> {
        Ok(self.inside())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Inside<'a>, NotCanonical> {
        Ok(self.inside())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Inside<'a>, NotCanonical> {
        Ok(self.variant(variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Inside<'a>, NotCanonical> {
        Ok(self.inside())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Inside<'a>, NotCanonical> {
        Ok(self.inside())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Inside<'a>, NotCanonical> {
        Ok(self.variant(variant))
    }
}

macro_rules! lists {
    ($($trait:ident::$method:ident),*) => {
        $(impl $trait for Inside<'_> {
            type Ok = ();
            type Error = NotCanonical;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotCanonical> {
                self.next(value)
            }

            fn end(self) -> Result<(), NotCanonical> {
                Ok(())
            }
        })*
    };
}

lists!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! structs {
    ($($trait:ident),*) => {
        $(impl $trait for Inside<'_> {
            type Ok = ();
            type Error = NotCanonical;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), NotCanonical> {
                self.at(key, value)
            }

            fn end(self) -> Result<(), NotCanonical> {
                Ok(())
            }
        })*
    };
}

structs!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Inside<'_> {
    type Ok = ();
    type Error = NotCanonical;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NotCanonical> {
        let key = serde_json::to_value(key).map_err(NotCanonical::custom)?;
        self.pointer.truncate(self.length);
        step(self.pointer, key.as_str().unwrap_or(&key.to_string()));
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotCanonical> {
        value.serialize(Guard { pointer: self.pointer })
    }

    fn end(self) -> Result<(), NotCanonical> {
        Ok(())
    }
}
