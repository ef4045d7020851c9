"""The student: encoder, deformable propagation, identity, decoder."""
