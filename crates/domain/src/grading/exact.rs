//! Exact numbers, from decimals and typed text, rounded to two decimals at the end.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{ToPrimitive, Zero, pow};
use rust_decimal::Decimal;

/// Bytes of a typed number. Longer text is no number: it would only make the
/// engine multiply digits.
const NUMBER_LEN_MAX: usize = 100;

/// The most decimal places that `1e...` may shift the point, for the same reason.
const SHIFT_MAX: usize = 1_000;

/// Converts a decimal exactly.
pub(super) fn from_decimal(decimal: Decimal) -> BigRational {
    let scale = usize::try_from(decimal.scale()).expect("a scale is at most 28");
    BigRational::new(decimal.mantissa().into(), power_of_ten(scale))
}

/// Returns `part / whole`, zero for a `whole` of zero.
pub(super) fn ratio(part: impl Into<BigInt>, whole: usize) -> BigRational {
    if whole == 0 {
        BigRational::zero()
    } else {
        BigRational::new(part.into(), whole.into())
    }
}

/// Rounds to 2 decimals, half away from 0 as in SQL. Values beyond a decimal
/// saturate; the limits of exam files keep far below.
pub(super) fn round_half_up(exact: &BigRational) -> Decimal {
    let hundredths = (exact * BigRational::from_integer(100.into())).round();
    hundredths
        .to_integer()
        .to_i128()
        .and_then(|whole| Decimal::try_from_i128_with_scale(whole, 2).ok())
        .unwrap_or(Decimal::MAX)
}

/// Parses a number as typed by people: digits with a dot or a comma among them, a
/// sign before and an exponent after. No grouping of thousands: `1,000` equals 1.
pub(super) fn parse_number(text: &str) -> Option<BigRational> {
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
