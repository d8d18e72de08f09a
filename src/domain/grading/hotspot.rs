//! Whether a point lies in a region of a picture, decided without rounding.
//!
//! Coordinates become whole numbers of 1e-15 of the picture. A decimal of up
//! to 15 places, which is what the fraction of a picture has in a double, so
//! stands for exactly itself, and a point on an edge is found inside even
//! where 0.4 - 0.3 is not 0.1 to the processor.

use num_traits::ToPrimitive;

use crate::domain::exam::Region;

/// What one picture width is in whole numbers.
const UNIT: f64 = 1e15;

/// Coordinates are clamped to this many pictures, so that products stay far
/// from the end of 128 bits.
const REACH: f64 = 10.0;

/// A place on a picture, in whole numbers.
#[derive(Clone, Copy)]
struct Place {
    x: i128,
    y: i128,
}

/// How many of the regions are hit less how many points hit none, and not
/// under 0. Two points in one region are one hit.
pub(super) fn hits(points: &[(f64, f64)], regions: &[Region]) -> usize {
    let shapes: Vec<Shape> = regions.iter().map(Shape::new).collect();
    let mut hit = vec![false; shapes.len()];
    let mut strays = 0;
    for point in points {
        let place = place(*point);
        let mut stray = true;
        for (shape, hit) in shapes.iter().zip(&mut hit) {
            if shape.contains(place) {
                *hit = true;
                stray = false;
            }
        }
        strays += usize::from(stray);
    }
    let hit = hit.into_iter().filter(|hit| *hit).count();
    hit.saturating_sub(strays)
}

/// A region in whole numbers.
enum Shape {
    Rect { from: Place, to: Place },
    Circle { center: Place, radius: i128 },
    Polygon { corners: Vec<Place> },
}

impl Shape {
    fn new(region: &Region) -> Self {
        match region {
            Region::Rect { x1, y1, x2, y2 } => Self::Rect {
                from: place((x1.min(*x2), y1.min(*y2))),
                to: place((x1.max(*x2), y1.max(*y2))),
            },
            Region::Circle { cx, cy, r } => Self::Circle {
                center: place((*cx, *cy)),
                radius: whole(*r),
            },
            Region::Polygon { points } => Self::Polygon {
                corners: points.iter().copied().map(place).collect(),
            },
        }
    }

    fn contains(&self, place: Place) -> bool {
        match self {
            Self::Rect { from, to } => {
                (from.x..=to.x).contains(&place.x) && (from.y..=to.y).contains(&place.y)
            }
            Self::Circle { center, radius } => {
                let (dx, dy) = (place.x - center.x, place.y - center.y);
                dx * dx + dy * dy <= radius * radius
            }
            Self::Polygon { corners } => polygon_contains(corners, place),
        }
    }
}

/// Counts the edges that a ray to the right crosses: inside where odd.
fn polygon_contains(corners: &[Place], place: Place) -> bool {
    let Some(last) = corners.last() else {
        return false;
    };
    let mut inside = false;
    let mut from = *last;
    for &to in corners {
        let side = cross(from, to, place);
        let (low, high) = (from.y.min(to.y), from.y.max(to.y));
        let (left, right) = (from.x.min(to.x), from.x.max(to.x));
        let in_box = (low..=high).contains(&place.y) && (left..=right).contains(&place.x);
        if side == 0 && in_box {
            return true;
        }
        // Half open, so that a corner on the ray counts once.
        if (from.y > place.y) != (to.y > place.y) && (side > 0) == (to.y > from.y) {
            inside = !inside;
        }
        from = to;
    }
    inside
}

/// Over 0 where `place` is left of the way from `from` to `to`, 0 on its line.
const fn cross(from: Place, to: Place, place: Place) -> i128 {
    (to.x - from.x) * (place.y - from.y) - (to.y - from.y) * (place.x - from.x)
}

fn place((x, y): (f64, f64)) -> Place {
    Place {
        x: whole(x),
        y: whole(y),
    }
}

fn whole(fraction: f64) -> i128 {
    let units = (fraction.clamp(-REACH, REACH) * UNIT).round();
    // Not a number is no coordinate of JSON; it would stand for 0.
    units.to_i128().unwrap_or_default()
}
