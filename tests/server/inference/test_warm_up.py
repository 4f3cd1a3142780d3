import dataclasses

import numpy as np
import pytest
from handover_proto.errors import InvalidRequest, PolicyFailed
from handover_proto.types import Limits
from handover_proto.validation import check_request, example_request
from handover_server.errors import ServingError
from handover_server.inference.warm_up import warm_up
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy


class PrefixPolicy(HoldPolicy):
    """Takes prefixes, and keeps the batches that it is asked for."""

    def __init__(self, supports_prefix: bool) -> None:
        super().__init__()
        self.batches = []
        self._takes = supports_prefix

    @property
    def spec(self):
        return dataclasses.replace(ALOHA_HOLD, supports_prefix=self._takes)

    def infer(self, requests):
        self.batches.append([request.prefix is not None for request in requests])
        return super().infer(requests)


def test_each_kind_of_request_is_warmed_up_in_each_batch_size():
    policy = PrefixPolicy(supports_prefix=True)
    assert warm_up(policy, 2) == 2
    assert policy.batches == [[False], [True], [False, False], [True, True]]
    check_request(example_request(policy.spec, with_prefix=True), policy.spec, Limits())


def test_a_policy_without_real_time_chunking_gets_no_prefix():
    policy = PrefixPolicy(supports_prefix=False)
    warm_up(policy, 1)
    assert policy.batches == [[False]]


def test_a_policy_may_refuse_the_example_but_not_fail_on_it():
    class Raising(HoldPolicy):
        def __init__(self, error):
            super().__init__()
            self.error = error

        def infer(self, requests):
            raise self.error

    assert warm_up(Raising(InvalidRequest("client_tag", "episode=N", "''")), 4) == 4
    with pytest.raises(PolicyFailed, match="broken"):
        warm_up(Raising(PolicyFailed("broken")), 4)


def test_a_policy_whose_answers_no_robot_may_be_sent_is_not_served():
    class Damaged(HoldPolicy):
        def infer(self, requests):
            outputs = super().infer(requests)
            outputs[0].action["waist"][0, 0] = np.nan
            return outputs

    with pytest.raises(ServingError, match="warm-up request is bad: waist is not finite"):
        warm_up(Damaged(), 1)
