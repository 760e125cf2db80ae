"""The one training loop: whatever is trained, it is checkpointed, resumed, watched and spread over machines here."""
