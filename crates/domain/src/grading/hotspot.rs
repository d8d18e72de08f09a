//! Test of points against the regions of a picture, without rounding errors.
//!
//! Coordinates are converted to whole numbers of 1e-15 of the picture. A decimal with
//! up to 15 places, the precision of a fraction in a double, is therefore exact, and
//! a point on an edge is inside although 0.4 - 0.3 is not 0.1 in floating point.

use num_traits::ToPrimitive;

use crate::exam::HotspotRegion;

/// Width or height of a picture, in whole numbers.
const PICTURE_UNITS: f64 = 1e15;

/// Limit to which coordinates are clamped, in pictures, so that products stay far
/// below 128 bits.
const COORDINATE_MAX: f64 = 10.0;

/// A point of a picture, in whole numbers.
#[derive(Clone, Copy)]
struct GridPoint {
    x: i128,
    y: i128,
}

/// Returns the number of regions hit minus the number of points outside all regions,
/// at least 0. Two points in one region are one hit.
pub(super) fn count_hits(points: &[(f64, f64)], regions: &[HotspotRegion]) -> usize {
    let shapes: Vec<GridShape> = regions.iter().map(GridShape::new).collect();
    let mut hit = vec![false; shapes.len()];
    let mut strays = 0;
    for point in points {
        let place = grid_point(*point);
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
enum GridShape {
    Rect { from: GridPoint, to: GridPoint },
    Circle { center: GridPoint, radius: i128 },
    Polygon { corners: Vec<GridPoint> },
}

impl GridShape {
    fn new(region: &HotspotRegion) -> Self {
        match region {
            HotspotRegion::Rect { x1, y1, x2, y2 } => Self::Rect {
                from: grid_point((x1.min(*x2), y1.min(*y2))),
                to: grid_point((x1.max(*x2), y1.max(*y2))),
            },
            HotspotRegion::Circle { cx, cy, r } => Self::Circle {
                center: grid_point((*cx, *cy)),
                radius: grid_units(*r),
            },
            HotspotRegion::Polygon { points } => Self::Polygon {
                corners: points.iter().copied().map(grid_point).collect(),
            },
        }
    }

    fn contains(&self, place: GridPoint) -> bool {
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

/// Counts the edges that a ray to the right crosses: a point is inside if it is odd.
fn polygon_contains(corners: &[GridPoint], place: GridPoint) -> bool {
    let Some(last) = corners.last() else {
        return false;
    };
    let mut inside = false;
    let mut from = *last;
    for &to in corners {
        let side = cross_product(from, to, place);
        let (low, high) = (from.y.min(to.y), from.y.max(to.y));
        let (left, right) = (from.x.min(to.x), from.x.max(to.x));
        let in_box = (low..=high).contains(&place.y) && (left..=right).contains(&place.x);
        if side == 0 && in_box {
            return true;
        }
        // Half-open edges, so that a corner on the ray counts once.
        if (from.y > place.y) != (to.y > place.y) && (side > 0) == (to.y > from.y) {
            inside = !inside;
        }
        from = to;
    }
    inside
}

/// Returns a positive number if `place` is left of the line from `from` to `to`, 0 if
/// it is on the line.
const fn cross_product(from: GridPoint, to: GridPoint, place: GridPoint) -> i128 {
    (to.x - from.x) * (place.y - from.y) - (to.y - from.y) * (place.x - from.x)
}

fn grid_point((x, y): (f64, f64)) -> GridPoint {
    GridPoint {
        x: grid_units(x),
        y: grid_units(y),
    }
}

fn grid_units(fraction: f64) -> i128 {
    let units = (fraction.clamp(-COORDINATE_MAX, COORDINATE_MAX) * PICTURE_UNITS).round();
    // NaN, which JSON cannot hold, would become 0.
    units.to_i128().unwrap_or_default()
}
