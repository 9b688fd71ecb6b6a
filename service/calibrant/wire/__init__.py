"""What crosses the network: requests, responses, problems and codecs."""
