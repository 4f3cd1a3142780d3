"""Requests that belong together are answered together, or none of them stays behind."""

import asyncio

import pytest
from handover_proto.errors import Overloaded
from handover_proto.types import Limits, PolicyRequest, ServerInfo
from handover_server.gateways.calls import infer_together
from handover_server.inference.admission import Admission
from handover_server.inference.scheduler import Scheduler
from handover_server.inference.shares import AdmissionLimits
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy
from handover_server.requests.request import Lane


def test_a_batch_that_does_not_fit_whole_leaves_no_part_of_it_in_flight(observation):
    async def ask_for_three():
        info = ServerInfo(ALOHA_HOLD, Limits())
        admission = Admission(info, Scheduler(HoldPolicy), AdmissionLimits(requests=2), 0)
        with pytest.raises(Overloaded):
            await infer_together(
                admission, [PolicyRequest(observation)] * 3, [Lane() for _ in range(3)]
            )
        await asyncio.sleep(0)  # the loop calls back what waits for the futures
        assert admission.levels()["in_flight_requests"] == 0

    asyncio.run(ask_for_three())
