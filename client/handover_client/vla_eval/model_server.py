"""Model server of vla-eval in front of a policy server, so that its benchmarks judge that policy.

    python -m handover_client.vla_eval.model_server --args.server HOST:PORT \
        --args.control_rate_hz 50 --args.layout aloha --port 8000
"""

import os
from pathlib import Path
from typing import Any, Literal

import anyio.to_thread  # pyright: ignore[reportMissingImports]
import numpy as np
from handover_common import UsageError
from handover_envs.tasks import find_task
from vla_eval.model_servers.base import (  # pyright: ignore[reportMissingImports]
    ModelServer,
    SessionContext,
)
from vla_eval.specs import IMAGE_RGB, LANGUAGE, DimSpec  # pyright: ignore[reportMissingImports]

from handover_client.connection.flags import SecurityFlags, read_security
from handover_client.connection.foreign.open import connect_server
from handover_client.control.joint_layout import find_joint_layout
from handover_client.control.robot_view import RobotView, view_for
from handover_client.vla_eval.episodes import (
    AlohaEpisode,
    Episode,
    GroupsEpisode,
    RowByRow,
    check_steps,
    match_cameras,
    match_state,
)

_TASK = "transfer_cube"  # for the cameras, which all of ALOHA's scenes share


class HandoverModelServer(ModelServer):
    """A policy behind Handover's server, openpi's or Isaac-GR00T's, as a model of vla-eval."""

    def __init__(
        self,
        server: str,
        control_rate_hz: float,
        layout: Literal["aloha", "groups"] = "groups",
        execute_steps: int = 8,
        chunks: bool = False,
        cameras: dict[str, str] | None = None,
        state: dict[str, list[int]] | None = None,
        spec: str | None = None,
        seed: int = 0,
        connect_timeout_s: float = 60.0,
        call_timeout_s: float = 10.0,
        tls: bool = False,
        tls_ca: str | None = None,
        token_file: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
    ) -> None:
        """Connect; raises HandoverError for a policy that does not fit.

        server, spec: as of `handover rollout`
        control_rate_hz: the benchmark's actions per second, which the harness does not tell
        layout: aloha for 14 joints, played as `handover rollout` plays them; groups for the
            policy's own action groups side by side, at the policy's own rate
        execute_steps: of each chunk, at the policy's rate, before the next is requested
        chunks: hand out all actions until the next request at once, for a benchmark that plays
            several (AlohaBenchmark), which then draws no frame that nobody looks at
        cameras: {the policy's: the benchmark's}, where the names differ
        state: {group: [first, end]} of the benchmark's state; the policy's order by default
        seed: added to the benchmark's episode number, where its task names no seed
        tls, tls_ca, token_file, client_cert, client_key: as of every command with a server;
            HANDOVER_TOKEN may hold the token
        """
        flags = SecurityFlags(
            tls=tls,
            tls_ca=_path(tls_ca),
            token_file=_path(token_file),
            client_cert=_path(client_cert),
            client_key=_path(client_key),
        )
        self._client = connect_server(
            server,
            timeout_s=connect_timeout_s,
            call_timeout_s=call_timeout_s,
            security=read_security(flags, os.environ),
            spec=_path(spec),
        )
        self._rate_hz, self._execute_steps = control_rate_hz, execute_steps
        self._chunks, self._seed = chunks, seed
        self._spec = self._client.info.spec
        self._cameras, self._told_state = dict(cameras or {}), state
        self._view = self._aloha_view("a task") if layout == "aloha" else None
        if self._view is None:
            check_steps(self._spec, control_rate_hz, execute_steps)
            self._cameras = match_cameras(self._spec, cameras)
        elif not self._spec.rate_hz or self._view.looks_back:
            raise UsageError("layout aloha: the policy must tell its rate and look at the present")
        self._state = match_state(self._spec, state)
        self._tasks: dict[str, dict[str, Any]] = {}  # by session
        self._episodes: dict[str, Episode] = {}

    async def on_episode_start(self, config: dict[str, Any], ctx: SessionContext) -> None:
        """Begin an episode; the policy is first asked when its first observation comes."""
        self._end(ctx.session_id)
        self._tasks[ctx.session_id] = dict(config.get("task") or {})

    async def on_observation(self, obs: dict[str, Any], ctx: SessionContext) -> None:
        """Answer with the action or, where `chunks` says so, the actions until the next request."""
        rows = await anyio.to_thread.run_sync(self._rows, obs, ctx.session_id)
        await ctx.send_action({"actions": rows})

    async def on_episode_end(self, result: dict[str, Any], ctx: SessionContext) -> None:
        """End the episode."""
        self._end(ctx.session_id)

    def get_observation_params(self) -> dict[str, Any]:
        """Tell AlohaBenchmark which cameras to draw, and of which size."""
        if self._view is None:
            return {}
        views = self._view.cameras
        return {"cameras": {view.name: [view.source, *view.height_width] for view in views}}

    def get_action_spec(self) -> dict[str, DimSpec]:
        """See ModelServer."""
        if self._view is not None:
            return {"joints": DimSpec("joints", 14, "absolute_rad_grippers_01")}
        return {
            group.name: DimSpec(group.name, group.dim, group.unit or "raw")
            for group in self._spec.action
        }

    def get_observation_spec(self) -> dict[str, DimSpec]:
        """See ModelServer."""
        width = 14 if self._view is not None else sum(group.dim for group in self._spec.state)
        state = DimSpec("state", width, "joint_positions")
        return {"image": IMAGE_RGB, "state": state, "language": LANGUAGE}

    def _aloha_view(self, task: str) -> RobotView:
        return view_for(
            self._spec,
            find_joint_layout(self._spec),
            task,
            control_steps=self._rate_hz / (self._spec.rate_hz or self._rate_hz),
            cameras=find_task(_TASK).cameras,
            told=self._cameras,
        )

    def _rows(self, seen: dict[str, Any], session: str) -> np.ndarray:
        if session not in self._episodes:
            self._episodes[session] = self._begin(seen, self._tasks.get(session, {}))
        return self._episodes[session].rows(seen)

    def _begin(self, seen: dict[str, Any], task: dict[str, Any]) -> Episode:
        seed = int(task.get("seed", self._seed)) + int(task.get("episode_idx", 0))
        if self._view is not None:
            episode: Episode = AlohaEpisode(
                self._client,
                self._aloha_view(str(seen["task_description"])),
                seed,
                control_rate_hz=self._rate_hz,
                execute_steps=self._execute_steps,
            )
        else:
            episode = GroupsEpisode(
                self._client, seed, self._execute_steps, self._cameras, self._state
            )
        return episode if self._chunks else RowByRow(episode)

    def _end(self, session: str) -> None:
        episode = self._episodes.pop(session, None)
        if episode is not None:
            episode.close()


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


if __name__ == "__main__":
    from vla_eval.model_servers.serve import run_server  # pyright: ignore[reportMissingImports]

    run_server(HandoverModelServer)
