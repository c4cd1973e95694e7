"""Small stand-in reward models, trained from episodes that an operator has labelled."""
