//! Places in hand: what an organisation may have while others have jobs too.

use super::*;

/// Of 16 places, 14 are shared out.
const SHARED: usize = 14;

/// A guard that has been asked by these organisations, and has shared the places out since.
async fn guard_of(names: &[&str]) -> Guard {
    let guard = guard_with(rules());
    for name in names {
        drop(come(&guard, name).await);
    }
    advance(SECOND).await;
    guard
}

async fn come(guard: &Guard, name: &str) -> Result<Place, Denied> {
    come_with(guard, name, false, false).await
}

async fn come_with(guard: &Guard, name: &str, came_back: bool, is_urgent: bool) -> Result<Place, Denied> {
    let org = org(name);
    guard.place(Arrival { ims_org_id: &org, came_back, is_urgent, patience: SECOND * 5 }).await
}

/// Takes as many places as there are, up to 100.
async fn flood(guard: &Guard, name: &str) -> Vec<Place> {
    let mut places = Vec::new();
    while places.len() < 100 {
        match come(guard, name).await {
            Ok(place) => places.push(place),
            Err(denied) => {
                assert_eq!(denied.reason, Reason::Share);
                break;
            }
        }
    }
    places
}

#[tokio::test(start_paused = true)]
async fn one_that_is_alone_has_every_place_and_waits_for_none() {
    let guard = guard_of(&["a"]).await;
    let started = Instant::now();
    assert_eq!(flood(&guard, "a").await.len(), 100);
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_flood_leaves_places_to_who_was_heard_of_lately() {
    let guard = guard_of(&["a", "b"]).await;
    let a = flood(&guard, "a").await;
    assert!(a.len() < SHARED && a.len() > SHARED / 2, "what b does not need is a's: {}", a.len());
    // However many come, each is told at once.
    let started = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(come(&guard, "a").await.unwrap_err().reason, Reason::Share);
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert!(come(&guard, "b").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_needs_more_gets_it_up_to_an_equal_part() {
    let guard = guard_of(&["a", "b"]).await;
    let mut a = flood(&guard, "a").await;
    let mut b = Vec::new();
    for _ in 0..20 {
        advance(SECOND).await;
        // Of a's jobs one is done in a second. Many more of either want its place, and there are no more than 16.
        a.pop();
        for (name, places) in [("a", &mut a), ("b", &mut b)] {
            while guard.inner.state().organisations(Instant::now())[0].1.held < 16 {
                let Ok(place) = come(&guard, name).await else { break };
                places.push(place);
            }
        }
    }
    assert_eq!((a.len(), b.len()), (SHARED / 2, SHARED / 2));
}

#[tokio::test(start_paused = true)]
async fn a_minute_after_the_others_have_gone_one_is_alone() {
    let guard = guard_of(&["a", "b"]).await;
    let mut places = flood(&guard, "a").await;
    advance(SECOND * 60).await;
    places.extend(flood(&guard, "a").await);
    assert!(places.len() > 100, "{}", places.len());
}

#[tokio::test(start_paused = true)]
async fn a_few_too_many_wait_for_a_moment_and_are_not_put_aside() {
    let guard = guard_of(&["a", "b"]).await;
    let mut places = Vec::new();
    while let Ok(Ok(place)) = timeout(SECOND / 100, come(&guard, "a")).await {
        places.push(place);
    }
    let (next, ()) = tokio::join!(come(&guard, "a"), async {
        tokio::time::sleep(SECOND / 2).await;
        places.pop();
    });
    places.push(next.unwrap());
    let started = Instant::now();
    assert!(come(&guard, "a").await.is_err());
    assert!(started.elapsed() <= SECOND, "but not for long");
}

#[tokio::test(start_paused = true)]
async fn one_that_came_back_waits_for_its_place_and_is_given_it_before_all_that_come_later() {
    let guard = guard_of(&["a", "b"]).await;
    let mut places = flood(&guard, "a").await;
    for (came_back, is_urgent) in [(true, false), (false, true)] {
        let (back, ()) = tokio::join!(come_with(&guard, "a", came_back, is_urgent), async {
            tokio::time::sleep(SECOND * 4).await;
            places.pop();
            assert!(come(&guard, "a").await.is_err(), "others are waiting for it");
        });
        places.push(back.unwrap());
    }
    let started = Instant::now();
    assert!(come_with(&guard, "a", true, false).await.is_err());
    assert_eq!(started.elapsed(), SECOND * 5);
}

#[tokio::test(start_paused = true)]
async fn only_a_few_wait_in_hand() {
    let guard = guard_of(&["a", "b"]).await;
    let _places = flood(&guard, "a").await;
    let (waits, denied) = tokio::join!(
        async {
            let started = Instant::now();
            assert!(come_with(&guard, "a", true, false).await.is_err());
            started.elapsed()
        },
        async {
            let started = Instant::now();
            assert!(come_with(&guard, "a", true, false).await.is_err());
            started.elapsed()
        }
    );
    assert_eq!((waits, denied), (SECOND * 5, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn the_more_are_put_aside_the_longer_they_stay_away() {
    let guard = guard_of(&["a", "b"]).await;
    let _places = flood(&guard, "a").await;
    let mut waits = Vec::new();
    for _ in 0..100_000 {
        waits.push(come(&guard, "a").await.unwrap_err().wait);
    }
    assert!(waits.is_sorted());
    // Of so many that 400 would come back in a second, no more are put aside for so short a time.
    let with = |seconds| waits.iter().filter(|wait| wait.as_secs() == seconds).count();
    let wanted = [(10, 4_000 - 1), (60, 20_000), (600, 100_000 - 24_000 + 1), (3_600, 0)];
    assert_eq!(wanted.map(|(seconds, _)| with(seconds)), wanted.map(|(_, count)| count));

    // Those that come back are not counted twice. One of them waits in hand; there is no place for more.
    let ((), held) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            for _ in 0..100_000 {
                let wait = come_with(&guard, "a", true, false).await.unwrap_err().wait;
                assert_eq!(wait, SECOND * 600);
            }
        },
        come_with(&guard, "a", true, false)
    );
    assert!(held.is_err());
}

#[tokio::test(start_paused = true)]
async fn of_a_flood_of_organisations_each_gets_a_place() {
    let guard = guard_with(rules());
    for number in 0..3_000 {
        let place = timeout(SECOND * 2, come(&guard, &number.to_string())).await.unwrap();
        drop(place.unwrap());
    }
    advance(SECOND).await;
    assert!(come(&guard, "one-more").await.is_ok());
}
