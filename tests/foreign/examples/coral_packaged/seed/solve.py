import json

X = 5.0

print("looking")
print(json.dumps({"x": X}))
