package identity

// MetadataAgent is the key of gRPC's metadata under which a stream names its agent.
const MetadataAgent = "amoskys-agent-id"
