from hypothesis import given
from hypothesis import strategies as st

from dermedge.web.bucket import Bucket, Buckets, owner


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(
    st.floats(0.5, 100),
    st.floats(1, 50),
    st.lists(st.floats(0, 3), min_size=1, max_size=80),
)
def test_no_more_than_burst_and_rate_ever_passes(rate: float, burst: float, waits: list[float]):
    clock = Clock()
    bucket, passed = Bucket(rate, burst, clock), 0
    for wait in waits:
        clock.now += wait
        passed += bucket.take()
        assert passed <= burst + rate * clock.now + 1e-6


def test_what_is_charged_later_is_lacking():
    clock = Clock()
    bucket = Bucket(1, 3, clock)
    bucket.drain(10)
    assert not bucket.take()
    clock.now = 1.0
    assert bucket.take()


def test_one_greedy_client_takes_nothing_from_another():
    each = Buckets(1, 2, Clock())
    assert [each.of("10.0.0.1").take() for _ in range(3)] == [True, True, False]
    assert each.of("10.0.0.2").take()


def test_a_network_of_many_addresses_is_one_client():
    assert owner("2001:db8:1:2::5") == owner("2001:db8:1:2:ffff::9") != owner("2001:db8:1:3::5")
    assert owner("::ffff:10.0.0.1") == owner("10.0.0.1") != owner("10.0.0.2")
    assert owner("fe80::1%eth0") == owner("fe80::2%wlan0")


def test_memory_is_bounded_whoever_comes():
    each = Buckets(1, 2, Clock())
    greedy = each.of("10.0.0.1")
    for number in range(5000):
        each.of(f"172.16.{number // 250}.{number % 250}")
    assert len(each._each) <= 1024
    assert each.of("10.0.0.1") is not greedy
