"""Make ExecuTorch programs: XNNPACK, Core ML, Vulkan."""
