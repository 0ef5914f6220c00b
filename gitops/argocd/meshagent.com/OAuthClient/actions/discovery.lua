local actions = {}
local suspended = obj.spec ~= nil and obj.spec.suspend == true
local adopted = obj.spec ~= nil and obj.spec.adopt ~= nil
actions["reconcile"] = { ["disabled"] = suspended }
actions["rotate"] = { ["disabled"] = suspended or adopted }
actions["suspend"] = { ["disabled"] = suspended }
actions["resume"] = { ["disabled"] = not suspended }
return actions
