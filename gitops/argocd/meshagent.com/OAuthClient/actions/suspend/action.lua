-- Stops all writes, to MeshAgent and to the Secret.
obj.spec.suspend = true
return obj
