//! How the places in hand are shared out among organisations. Pure.
//!
//! Max-min fair: who needs less than an equal part has what it needs, with room to grow, and the others have equal parts of
//! the rest. A part of the places is nobody's: what has to be put aside passes through it, so that the jobs of others come
//! to the front soon, however long the queue is.

/// One of so many places is nobody's.
const PASSAGE: u32 = 8;

/// An organisation may come to need so many times what it needed, and one more, before the places are shared out again.
const GROWTH: f64 = 2.0;

/// The most that each organisation may have in hand, of so many places, by what each of them needed of late. One that is
/// alone may have them all.
pub(super) fn of(places: u32, needs: &[f64]) -> Vec<u32> {
    if needs.len() < 2 {
        return vec![u32::MAX; needs.len()];
    }
    let shared = f64::from(places.saturating_sub(places.div_ceil(PASSAGE)).max(1));
    let reserves: Vec<f64> = needs.iter().map(|need| need * GROWTH + 1.0).collect();
    let total: f64 = reserves.iter().sum();
    let level = level(shared, &reserves);
    // What nobody needs, whoever comes first may have; and all may come up to the level.
    let left = shared - total;
    let share = |reserve: &f64| if left > 0.0 { level.max(reserve + left) } else { level };
    reserves.iter().map(|reserve| whole(share(reserve))).collect()
}

/// Those that need more than this have this, and all is shared out; an equal part if there is enough for everybody.
fn level(shared: f64, reserves: &[f64]) -> f64 {
    let mut sorted = reserves.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut left = shared;
    for (number, reserve) in sorted.iter().enumerate() {
        let equal = left / count(sorted.len() - number);
        if *reserve >= equal {
            return equal;
        }
        left -= reserve;
    }
    shared / count(sorted.len())
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Nobody has less than one place.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never more than there are places"
)]
fn whole(share: f64) -> u32 {
    share.max(1.0) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_that_is_alone_has_all() {
        assert_eq!(of(256, &[3.0]), [u32::MAX]);
        assert!(of(256, &[]).is_empty());
    }

    #[test]
    fn who_needs_little_has_it_and_leaves_the_rest_to_the_others() {
        // 224 are shared: 9 are kept for the one that needed 4.
        assert_eq!(of(256, &[256.0, 4.0]), [215, 215]);
        assert_eq!(of(256, &[256.0, 256.0]), [112, 112]);
        assert_eq!(of(256, &[200.0, 300.0, 4.0]), [107, 107, 107]);
        assert_eq!(of(256, &[0.0, 0.0]), [223, 223]);
        assert_eq!(of(256, &[10.0, 0.0, 0.0]), [222, 202, 202]);
    }

    #[test]
    fn nobody_has_less_than_one() {
        assert_eq!(of(1, &[5.0, 5.0]), [1, 1]);
        assert_eq!(of(2, &[5.0, 5.0]), [1, 1]);
        assert_eq!(of(8, &[9.0; 20]), [1; 20]);
    }

    proptest! {
        #[test]
        fn what_others_need_is_kept_for_them(
            places in 16_u32..2_000,
            needs in proptest::collection::vec(0.0_f64..2_000.0, 2..8),
        ) {
            let shares = of(places, &needs);
            let reserve = |need: &f64, share: u32| (need * GROWTH + 1.0).min(f64::from(share) + 1.0);
            for (at, share) in shares.iter().enumerate() {
                let others = needs.iter().zip(&shares).enumerate().filter(|(other, _)| *other != at);
                let kept: f64 = others.map(|(_, (need, share))| reserve(need, *share)).sum();
                let all = f64::from(places - places.div_ceil(PASSAGE)).max(count(needs.len()));
                prop_assert!(f64::from(*share) <= all);
                // But for what is lost and won by whole places, the others find what they need.
                let reserved = reserve(&needs[at], *share);
                prop_assert!(reserved + kept <= all + 2.0 * count(needs.len()), "{shares:?}");
            }
        }
    }
}
