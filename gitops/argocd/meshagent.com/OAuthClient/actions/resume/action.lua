-- Lets the operator go on.
obj.spec.suspend = nil
return obj
