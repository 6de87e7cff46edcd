import Glibc

/// What the system answered, by its errno.
public struct SystemError: Error, Hashable, Sendable {
  /// A value of errno.
  public let code: Int32

  public init(code: Int32) { self.code = code }

  /// The result of a CLinux function: a negative errno throws, anything else is handed on.
  @discardableResult
  package static func check(_ result: Int32) throws(SystemError) -> Int32 {
    if result < 0 { throw SystemError(code: -result) }
    return result
  }

  /// The error that the calling thread's last failed call left in errno.
  package static var last: SystemError { SystemError(code: errno) }
}

extension SystemError: CustomStringConvertible {
  /// The system's own words, such as `No such file or directory`.
  public var description: String {
    var text = [CChar](repeating: 0, count: 128)
    guard unsafe strerror_r(code, &text, text.count) == 0 else { return "error \(code)" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension SystemError {
  /// There is no memory.
  package static let outOfMemory = SystemError(code: ENOMEM)

  /// What a CLinux function returns when it would have to wait.
  package static let wouldBlock = -EAGAIN
}
