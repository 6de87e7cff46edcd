import Testing

/// `#expect(a == b)` for calls that change their receiver, which the macro can't take.
func expect<Value: Equatable>(
  _ actual: Value, equals expected: Value, sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(actual == expected, sourceLocation: sourceLocation)
}
