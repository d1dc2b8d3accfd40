use super::bounds::Account;
use super::error::EvalError;
use super::label_set::LabelSet;
use super::vector::{Interner, POINT_BYTES, StepVectors};
use crate::ast::{BinaryOp, MatchGroup, VectorMatching};
use rustc_hash::{FxHashMap, FxHashSet};

const DUPLICATE_RIGHT: &str =
    "found duplicate series on the right hand-side;many-to-many matching not allowed: matching labels must be unique on one side";
const DUPLICATE_LEFT: &str =
    "found duplicate series on the left hand-side;many-to-many matching not allowed: matching labels must be unique on one side";
const MANY_TO_ONE: &str = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
const NOT_UNIQUE: &str = "multiple matches for labels: grouping labels must ensure unique matches";

/// `left op right`. A comparison gives 1 or 0.
pub(crate) fn apply(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div if right == 0.0 => f64::NAN,
        BinaryOp::Div => left / right,
        BinaryOp::Mod if right == 0.0 => f64::NAN,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Equal => f64::from(left == right),
        BinaryOp::NotEqual => f64::from(left != right),
        BinaryOp::Greater => f64::from(left > right),
        BinaryOp::GreaterOrEqual => f64::from(left >= right),
        BinaryOp::Less => f64::from(left < right),
        BinaryOp::LessOrEqual => f64::from(left <= right),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => f64::NAN,
    }
}

fn is_comparison(op: BinaryOp) -> bool {
    use BinaryOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    matches!(op, Equal | NotEqual | Greater | GreaterOrEqual | Less | LessOrEqual)
}

/// What a pair of values gives; a comparison that filters keeps `kept`.
fn combine(op: BinaryOp, return_bool: bool, left: f64, right: f64, kept: f64) -> Option<f64> {
    let value = apply(op, left, right);
    if is_comparison(op) && !return_bool { (value == 1.0).then_some(kept) } else { Some(value) }
}

/// The mean of `count` values, from the mean of all but the last.
pub(crate) fn mean_step(mean: f64, value: f64, count: u64) -> f64 {
    if mean.is_infinite() && (value.is_finite() || mean == value) {
        return mean;
    }
    mean + (value - mean) / count as f64
}

/// A number with each sample; `number_left` says on which side the number stands. Filters keep the sample's value.
pub(crate) fn apply_scalar(op: BinaryOp, return_bool: bool, number: f64, number_left: bool, mut vectors: StepVectors) -> StepVectors {
    let value = |sample: f64| {
        let (left, right) = if number_left { (number, sample) } else { (sample, number) };
        combine(op, return_bool, left, right, sample)
    };
    for points in &mut vectors.steps {
        *points = std::mem::take(points).into_iter().filter_map(|(series, sample)| Some((series, value(sample)?))).collect();
    }
    vectors
}

/// Pairs the series of two sides at each step.
///
/// # Errors
/// [`EvalError::Matching`] when pairs are not unique where they must be, [`EvalError::Interrupted`].
pub(crate) fn join(
    op: BinaryOp,
    return_bool: bool,
    matching: &VectorMatching,
    left: StepVectors,
    right: StepVectors,
    account: &Account<'_>,
) -> Result<StepVectors, EvalError> {
    let mut keys = Interner::default();
    let mut key = |labels: &LabelSet| keys.number(match_labels(matching, labels));
    let left_keys: Vec<u32> = left.series.iter().map(&mut key).collect();
    let right_keys: Vec<u32> = right.series.iter().map(&mut key).collect();
    if matches!(op, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) {
        return join_sets(op, left, right, &left_keys, &right_keys, account);
    }
    // The many side is walked, the one side looked up.
    let swapped = matching.group == MatchGroup::Right;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let (many_keys, one_keys) = if swapped { (right_keys, left_keys) } else { (left_keys, right_keys) };
    let mut join =
        Join { op, return_bool, matching, swapped, many: &many, one: &one, outputs: Interner::default(), pairs: FxHashMap::default() };
    let (mut steps, mut points) = (Vec::with_capacity(many.steps.len()), 0);
    for (many_points, one_points) in many.steps.iter().zip(&one.steps) {
        steps.push(join.step(many_points, one_points, &many_keys, &one_keys)?);
        points += steps.last().map_or(0, Vec::len);
        account.check(points * POINT_BYTES)?;
    }
    Ok(StepVectors { series: join.outputs.sets, steps })
}

fn match_labels(matching: &VectorMatching, labels: &LabelSet) -> LabelSet {
    labels.filtered(|name, _| matching.labels.iter().any(|label| label == name) == matching.on)
}

struct Join<'a> {
    op: BinaryOp,
    return_bool: bool,
    matching: &'a VectorMatching,
    swapped: bool,
    many: &'a StepVectors,
    one: &'a StepVectors,
    outputs: Interner,
    /// Output series by series of both sides.
    pairs: FxHashMap<(u32, u32), u32>,
}

impl Join<'_> {
    fn step(&mut self, many: &[(u32, f64)], one: &[(u32, f64)], many_keys: &[u32], one_keys: &[u32]) -> Result<Vec<(u32, f64)>, EvalError> {
        let mut partners: FxHashMap<u32, (u32, f64)> = FxHashMap::default();
        for (series, value) in one {
            if partners.insert(one_keys[*series as usize], (*series, *value)).is_some() {
                return Err(EvalError::Matching(if self.swapped { DUPLICATE_LEFT } else { DUPLICATE_RIGHT }));
            }
        }
        let (mut used, mut outputs) = (FxHashSet::default(), FxHashSet::default());
        let mut points = Vec::new();
        for (series, value) in many {
            let key = many_keys[*series as usize];
            let Some((partner, other)) = partners.get(&key).copied() else { continue };
            let (left, right) = if self.swapped { (other, *value) } else { (*value, other) };
            let Some(result) = combine(self.op, self.return_bool, left, right, left) else { continue };
            let output = self.output(*series, partner);
            if self.matching.group == MatchGroup::OneToOne {
                if !used.insert(key) {
                    return Err(EvalError::Matching(MANY_TO_ONE));
                }
            } else if !outputs.insert(output) {
                return Err(EvalError::Matching(NOT_UNIQUE));
            }
            points.push((output, result));
        }
        Ok(points)
    }

    fn output(&mut self, many: u32, one: u32) -> u32 {
        if let Some(output) = self.pairs.get(&(many, one)) {
            return *output;
        }
        let labels = &self.many.series[many as usize];
        let labels = if self.matching.group == MatchGroup::OneToOne {
            match_labels(self.matching, labels)
        } else {
            let mut labels = labels.clone();
            for name in &self.matching.include {
                match self.one.series[one as usize].get(name).filter(|value| !value.is_empty()) {
                    Some(value) => labels.set(name, value),
                    None => labels.remove(name),
                }
            }
            labels
        };
        let output = self.outputs.number(labels);
        self.pairs.insert((many, one), output);
        output
    }
}

fn join_sets(
    op: BinaryOp,
    left: StepVectors,
    right: StepVectors,
    left_keys: &[u32],
    right_keys: &[u32],
    account: &Account<'_>,
) -> Result<StepVectors, EvalError> {
    let mut outputs = Interner::default();
    let left_out: Vec<u32> = left.series.into_iter().map(|labels| outputs.number(labels)).collect();
    let right_out: Vec<u32> = right.series.into_iter().map(|labels| outputs.number(labels)).collect();
    let (mut steps, mut points) = (Vec::with_capacity(left.steps.len()), 0);
    for (left, right) in left.steps.into_iter().zip(right.steps) {
        let keys =
            |points: &[(u32, f64)], keys: &[u32]| points.iter().map(|(series, _)| keys[*series as usize]).collect::<FxHashSet<u32>>();
        let right_has = keys(&right, right_keys);
        let from_left = |(series, value): &(u32, f64)| (left_out[*series as usize], *value);
        let mut found: Vec<(u32, f64)> = match op {
            BinaryOp::And => left.iter().filter(|(series, _)| right_has.contains(&left_keys[*series as usize])).map(from_left).collect(),
            BinaryOp::Unless => {
                left.iter().filter(|(series, _)| !right_has.contains(&left_keys[*series as usize])).map(from_left).collect()
            }
            _ => left.iter().map(from_left).collect(),
        };
        if op == BinaryOp::Or {
            let left_has = keys(&left, left_keys);
            let new = right.iter().filter(|(series, _)| !left_has.contains(&right_keys[*series as usize]));
            found.extend(new.map(|(series, value)| (right_out[*series as usize], *value)));
        }
        points += found.len();
        account.check(points * POINT_BYTES)?;
        steps.push(found);
    }
    Ok(StepVectors { series: outputs.sets, steps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_by_zero_is_no_number() {
        assert!(apply(BinaryOp::Div, 1.0, 0.0).is_nan() && apply(BinaryOp::Mod, 1.0, 0.0).is_nan());
        assert_eq!(apply(BinaryOp::Mod, -10.0, 3.0), -1.0);
        assert_eq!(apply(BinaryOp::NotEqual, f64::NAN, 1.0), 1.0);
    }

    #[test]
    fn means_stay_infinite() {
        assert_eq!(mean_step(f64::INFINITY, 1.0, 2), f64::INFINITY);
        assert!(mean_step(f64::INFINITY, f64::NEG_INFINITY, 2).is_nan());
        assert_eq!(mean_step(1.0, 3.0, 2), 2.0);
    }
}
