"""Each sample is transformed by its own embodiment's weights."""

import torch
from handover_model.network.embodiment_layers import EmbodimentLinear
from torch.nn import functional


def test_each_sample_has_its_embodiments_layer():
    torch.manual_seed(0)
    layer, tokens = EmbodimentLinear(3, 5, 4), torch.randn(4, 2, 5)
    output = layer(tokens, torch.tensor([2, 0, 2, 1]))
    for sample, number in enumerate([2, 0, 2, 1]):
        expected = functional.linear(tokens[sample], layer.W[number].T, layer.b[number])
        torch.testing.assert_close(output[sample], expected)


def test_a_single_embodiment_is_the_same_without_copies_of_its_weights():
    torch.manual_seed(0)
    one, three = EmbodimentLinear(1, 5, 4), EmbodimentLinear(3, 5, 4)
    with torch.no_grad():
        one.b.normal_()
        three.W[1], three.b[1] = one.W[0], one.b[0]
    tokens, first, second = torch.randn(4, 2, 5), torch.zeros(4).long(), torch.ones(4).long()
    output, expected = one(tokens, first), three(tokens, second)
    torch.testing.assert_close(output, expected)
    output.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(one.W.grad[0], three.W.grad[1])
    torch.testing.assert_close(one.b.grad[0], three.b.grad[1])
