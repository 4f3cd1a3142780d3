"""Action chunks in a control loop: requesting, playing, blending, timing."""
