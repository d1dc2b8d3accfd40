/// A decimal number, `digits / 10^scale`. Operations give `None` where they do not fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    digits: i128,
    scale: u32,
}

/// Digits behind the point of a quotient.
const QUOTIENT_SCALE: u32 = 16;

impl Decimal {
    pub(super) const ZERO: Decimal = Decimal { digits: 0, scale: 0 };

    /// The shortest decimal number that is read as `value`.
    pub(super) fn from_float(value: f64) -> Option<Self> {
        let text = if value.is_finite() { format!("{value}") } else { return None };
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        Some(Decimal { digits: format!("{whole}{fraction}").parse().ok()?, scale: fraction.len() as u32 })
    }

    pub(super) fn to_float(self) -> Option<f64> {
        format!("{}e-{}", self.digits, self.scale).parse().ok()
    }

    pub(super) fn negated(self) -> Self {
        Decimal { digits: -self.digits, scale: self.scale }
    }

    fn scaled(self, scale: u32) -> Option<i128> {
        self.digits.checked_mul(10i128.checked_pow(scale - self.scale)?)
    }

    pub(super) fn add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        Some(Decimal { digits: self.scaled(scale)?.checked_add(other.scaled(scale)?)?, scale })
    }

    pub(super) fn multiply(self, other: Self) -> Option<Self> {
        Some(Decimal { digits: self.digits.checked_mul(other.digits)?, scale: self.scale + other.scale })
    }

    /// Rounded half away from zero.
    pub(super) fn divide(self, other: Self) -> Option<Self> {
        let shift = 10i128.checked_pow((QUOTIENT_SCALE + other.scale).checked_sub(self.scale)?)?;
        let dividend = self.digits.checked_mul(shift)?;
        let quotient = dividend.checked_div(other.digits)?;
        let rest = dividend.checked_rem(other.digits)?;
        let up = rest.unsigned_abs().checked_mul(2)? >= other.digits.unsigned_abs();
        let sign = if (dividend < 0) == (other.digits < 0) { 1 } else { -1 };
        Some(Decimal { digits: quotient + if up { sign } else { 0 }, scale: QUOTIENT_SCALE })
    }
}
