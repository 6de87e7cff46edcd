import CLinux

/// Messages to the service manager that started this program (sd_notify(3)). Without one they go nowhere.
public enum ServiceNotification: String, Sendable {
  case ready = "READY=1"
  /// The configuration is being read again; ``ready`` ends it. Goes with the time at which it began, by which
  /// a manager that asked for the reload knows this answer from an older one.
  case reloading = "RELOADING=1"
  case stopping = "STOPPING=1"

  /// Tells the service manager. Returns whether one was there to be told.
  @discardableResult
  public func send() throws(SystemError) -> Bool {
    try unsafe SystemError.check(clinux_service_notify(message(at: clinux_monotonic() / 1_000))) == 1
  }

  /// The lines of one datagram; `microseconds` are CLOCK_MONOTONIC's.
  func message(at microseconds: UInt64) -> String {
    self == .reloading ? "\(rawValue)\nMONOTONIC_USEC=\(microseconds)" : rawValue
  }
}
