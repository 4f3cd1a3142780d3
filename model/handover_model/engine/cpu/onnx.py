"""ONNX Runtime backend of the CPU engine, for small networks, where PyTorch's calls cost too much.

Reading an observation, preparing the action head for it, and one denoising step are converted when
a policy is loaded, for its cameras' sizes and any length of instruction; nothing is kept on disk.
Where the policy has learnt to continue a prefix, the step is told which actions are given, maybe
none. Requests of other sizes, and those that are guided to a prefix (they need gradients), are
computed by PyTorch.
"""

from dataclasses import replace

import onnxruntime
import torch
from torch import Tensor, nn

from handover_model.engine.cpu.engine import CpuRequest, TorchBackend
from handover_model.engine.cpu.onnx_recorder import write_model
from handover_model.engine.functional.action_head import (
    SELF,
    TEXT,
    HeadWeights,
    StepWeights,
    predict_velocity,
)
from handover_model.engine.functional.chunk import (
    ChunkInput,
    EngineWeights,
    PromptStart,
    Tables,
    observe,
    read_prompt,
)
from handover_model.engine.functional.language import Rotation
from handover_model.engine.functional.linear import Norm
from handover_model.engine.functional.token_layout import TokenLayout
from handover_model.network.dit import Memory
from handover_model.network.real_time_chunking import CleanPrefix, choose_sampler, no_prefix

WARNING = 2  # ONNX Runtime's level; it warns about machines that it cannot inspect


class ReadModule(nn.Module):
    """The backbone as a module, to convert."""

    def __init__(self, weights: EngineWeights, request: CpuRequest) -> None:
        super().__init__()
        self.weights, self.request = weights, request

    def forward(self, *tensors: Tensor) -> Tensor:
        """Return features, from the tensors of read_tensors."""
        request = self.request
        images = len(request.inputs.frames)
        frames, (ids, cos, sin, visible, *past) = tensors[:images], tensors[images:]
        start = PromptStart(tuple(zip(past[::2], past[1::2], strict=True)), None)
        tables = Tables(Rotation(cos, sin), request.tables.positions, visible)
        inputs = ChunkInput(frames, ids, None, request.inputs.state)
        return read_prompt(self.weights, request.layout, tables, inputs, start)


class ObserveModule(nn.Module):
    """What the action head makes of an observation, as a module, to convert."""

    def __init__(self, weights: EngineWeights, request: CpuRequest) -> None:
        super().__init__()
        self.weights, self.request = weights, request

    def forward(self, features: Tensor, state: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        """Return state tokens, then key and value of each block's memory that has one."""
        request, head = self.request, self.weights.head
        start = PromptStart((), memory[0] if memory else None)
        inputs = replace(request.inputs, state=state)
        observed = observe(head, request.layout, features, inputs, start)
        kept = [memory for memory in observed.memories if memory is not None]
        assert all(memory.mask is None for memory in kept), "a single sample has no padding"
        return observed.state_tokens, *(part for each in kept for part in (each.key, each.value))


class StepModule(nn.Module):
    """One denoising step as a module, to convert: its own weights are inputs, as steps differ."""

    def __init__(self, weights: EngineWeights, continues: bool) -> None:
        super().__init__()
        self.head, self.continues = weights.head, continues

    def forward(
        self, actions: Tensor, bias: Tensor, scales: Tensor, shifts: Tensor, *more: Tensor
    ) -> Tensor:
        """Return the velocity, from step_tensors, clean_tensors and what ObserveModule returned."""
        clean, observed = (more[0], more[1:]) if self.continues else (None, more)
        head, first = self.head, self.head.steps[0]
        norms = tuple(
            replace(norm, weight=scale, bias=shift)
            for norm, scale, shift in zip(norms_of(first), scales, shifts, strict=True)
        )
        step = StepWeights(bias, norms[:-1], norms[-1])
        if clean is not None:
            step = step.select(head.clean, clean, observed[0].shape[1])
        pairs = iter(zip(observed[1::2], observed[2::2], strict=True))
        memories = [
            None if block.reads == SELF else Memory(*next(pairs), None) for block in head.blocks
        ]
        return predict_velocity(head, actions, step, observed[0], memories)


def read_tensors(request: CpuRequest) -> dict[str, Tensor]:
    """List ReadModule's inputs; those that grow with the instruction are named after their axis."""
    assert request.start is not None
    frames = {f"frame{place}": frame for place, frame in enumerate(request.inputs.frames)}
    rotation = request.tables.rotation
    pasts = [tensor for pair in request.start.past for tensor in pair]
    return {
        **frames,
        "ids": request.inputs.text_ids,
        "cos": rotation.cos,
        "sin": rotation.sin,
        "axis1_visible": request.tables.visible,
        **{f"axis2_past{place}": past for place, past in enumerate(pasts)},
    }


def observe_tensors(request: CpuRequest, features: Tensor) -> dict[str, Tensor]:
    """List ObserveModule's inputs, named as in read_tensors."""
    memory = request.start.text_memory if request.start is not None else None
    given = {"features": features, "state": request.inputs.state}
    return given if memory is None else {**given, "axis1_memory": memory}


def clean_tensors(request: CpuRequest) -> dict[str, Tensor]:
    """List what StepModule is given of a prefix, where the policy has learnt to continue one."""
    return {"clean": request.prefix.clean} if isinstance(request.prefix, CleanPrefix) else {}


def norms_of(step: StepWeights) -> tuple[Norm, ...]:
    """List a step's norms: each block's first one, and that of the output."""
    return (*step.norms, step.output_norm)


def step_tensors(head: HeadWeights) -> list[dict[str, Tensor]]:
    """List what StepModule is given of each step: its bias, and its norms' scales and shifts."""
    steps: list[dict[str, Tensor]] = []
    for step in head.steps:
        scales = torch.stack([norm.weight for norm in norms_of(step)])
        pair = {"scales": scales, "shifts": torch.stack([norm.bias for norm in norms_of(step)])}
        steps.append({"bias": step.encoder_bias, **pair})
    return steps


def observed_names(head: HeadWeights) -> list[str]:
    """Name ObserveModule's outputs, as StepModule's inputs: those of texts grow with them."""
    read = [(place, block.reads) for place, block in enumerate(head.blocks) if block.reads != SELF]
    grown = [f"{'axis2_' if reads == TEXT else ''}{{}}{place}" for place, reads in read]
    return ["state_tokens", *(name.format(part) for name in grown for part in ("key", "value"))]


class OnnxBackend:
    """Computes requests of one shape after the start with ONNX Runtime, all others with PyTorch."""

    def __init__(self, weights: EngineWeights, request: CpuRequest) -> None:
        """Convert both halves for requests like this one; raises what the libraries raise."""
        assert request.start is not None
        self._plain, self._tail = TorchBackend(weights), tail(request.layout)
        self._continues = isinstance(request.prefix, CleanPrefix)
        self._steps, self._names = step_tensors(weights.head), observed_names(weights.head)
        features = self._plain.read(request)
        self._read = _convert(ReadModule(weights, request), read_tensors(request))
        module, given = ObserveModule(weights, request), observe_tensors(request, features)
        self._observe = _convert(module, given)
        with torch.no_grad():
            observed = dict(zip(self._names, module(*given.values()), strict=True))
        given = {"actions": request.noise, **self._steps[0], **clean_tensors(request), **observed}
        self._step = _convert(StepModule(weights, self._continues), given)

    def read(self, request: CpuRequest) -> Tensor:
        """See CpuBackend.read."""
        if not self._knows(request):
            return self._plain.read(request)
        return _run(self._read, read_tensors(request))[0]

    def denoise(self, request: CpuRequest, features: Tensor) -> Tensor:
        """See CpuBackend.denoise."""
        if not self._knows(request):
            return self._plain.denoise(request, features)
        if self._continues and request.prefix is None:
            request = replace(request, prefix=no_prefix(request.noise))
        found = _run(self._observe, observe_tensors(request, features))
        kept = {**clean_tensors(request), **dict(zip(self._names, found, strict=True))}

        def velocity(actions: Tensor, step: int) -> Tensor:
            return _run(self._step, {"actions": actions, **self._steps[step], **kept})[0]

        return choose_sampler(request.prefix)(velocity, request.noise, len(self._steps))

    def _knows(self, request: CpuRequest) -> bool:
        if request.start is None:
            return False
        if request.prefix is not None and not (
            self._continues and isinstance(request.prefix, CleanPrefix)
        ):
            return False
        return tail(request.layout) == self._tail


def tail(layout: TokenLayout) -> TokenLayout:
    """Return a layout without its start: requests with the same tail share a converted model."""
    spans = tuple((start - layout.known, stop - layout.known) for start, stop in layout.images)
    return replace(layout, length=layout.length - layout.known, images=spans, known=0)


def _convert(module: nn.Module, tensors: dict[str, Tensor]) -> onnxruntime.InferenceSession:
    """Write a module as a model and load it for as many threads as PyTorch has."""
    grown = {name: int(name[len("axis")]) for name in tensors if name.startswith("axis")}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = WARNING + 1
    # its threads would spin between two requests
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        write_model(module.eval(), tensors, grown), options, providers=["CPUExecutionProvider"]
    )


def _run(session: onnxruntime.InferenceSession, tensors: dict[str, Tensor]) -> list[Tensor]:
    given = {name: tensor.numpy() for name, tensor in tensors.items()}
    return [torch.from_numpy(output) for output in session.run(None, given)]
