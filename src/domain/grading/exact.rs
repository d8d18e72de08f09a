//! Exact numbers: in from decimals and from what people type, out with two decimals.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{ToPrimitive, Zero, pow};
use rust_decimal::Decimal;

/// Characters of a number that a candidate may type. Longer ones would make
/// the engine multiply digits for no honest purpose; they are no numbers.
const NUMBER_LEN_MAX: usize = 100;

/// The most that `1e...` may shift the point, either way, for the same reason.
const SHIFT_MAX: usize = 1_000;

/// A decimal, exactly.
pub(super) fn from_decimal(decimal: Decimal) -> BigRational {
    let scale = usize::try_from(decimal.scale()).expect("a scale is at most 28");
    BigRational::new(decimal.mantissa().into(), power_of_ten(scale))
}

/// A share of a whole; nothing where the whole is nothing.
pub(super) fn ratio(part: impl Into<BigInt>, whole: usize) -> BigRational {
    if whole == 0 {
        BigRational::zero()
    } else {
        BigRational::new(part.into(), whole.into())
    }
}

/// With 2 decimals, half up (that is, away from 0, as SQL rounds too). What no
/// decimal can hold saturates; the bounds of exam files keep far below.
pub(super) fn rounded(exact: &BigRational) -> Decimal {
    let hundredths = (exact * BigRational::from_integer(100.into())).round();
    hundredths
        .to_integer()
        .to_i128()
        .and_then(|whole| Decimal::try_from_i128_with_scale(whole, 2).ok())
        .unwrap_or(Decimal::MAX)
}

/// A number as people type it: digits with a dot or a comma among them, a sign
/// before and an exponent after. No grouping of thousands: `1,000` is one.
pub(super) fn parse(text: &str) -> Option<BigRational> {
    let text = text.trim();
    if text.len() > NUMBER_LEN_MAX {
        return None;
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, unsigned) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = unsigned.split_once(['.', ',']).unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let magnitude: BigInt = digits.parse().ok()?;
    let decimals = i32::try_from(fraction.len()).ok()?;
    let shift = exponent.checked_sub(decimals)?;
    let size = usize::try_from(shift.unsigned_abs()).ok()?;
    if size > SHIFT_MAX {
        return None;
    }
    let signed = if negative { -magnitude } else { magnitude };
    Some(if shift < 0 {
        BigRational::new(signed, power_of_ten(size))
    } else {
        BigRational::from_integer(signed * power_of_ten(size))
    })
}

fn power_of_ten(exponent: usize) -> BigInt {
    pow(BigInt::from(10), exponent)
}
