import ArgumentParser
import ControlAPI
import Foundation
import LightNode
import StrictConfiguration

/// An error as a person sees it: what happened, what to do next, and the exit code of `shadowmesh --help`.
struct Complaint: Error, Encodable {
  var kind: String
  var message: String
  var next: String
  var code: Int32

  enum CodingKeys: String, CodingKey {
    case kind, message, next
    case code = "exitCode"
  }

  init(_ kind: String, _ message: String, next: String = "", code: Int32) {
    self.kind = kind
    self.message = message
    self.next = next
    self.code = code
  }

  init(_ error: any Error) {
    switch error {
    case let complaint as Complaint: self = complaint
    case let failure as ControlFailure: self.init(failure)
    case let failure as ControlClient.Failure: self.init(failure)
    case let failure as Keystore.Failure: self.init(failure)
    case let error as ConfigurationError:
      self.init(
        "configuration", "\(error)", next: "mend the file; shadowmesh-lightnode --check-config tells", code: 1
      )
    default: self.init("failed", "\(error)", code: 1)
    }
  }

  private init(_ failure: ControlFailure) {
    let code: Int32 =
      switch failure.kind {
      case .notFound: 5
      case .timedOut: 6
      case .conflict, .refused, .expired: 7
      case .storage: 8
      case .badRequest: 64
      case .otherVersion, .busy, .unavailable: 1
      }
    self.init(failure.kind.rawValue, failure.message, next: failure.next, code: code)
  }

  private init(_ failure: ControlClient.Failure) {
    switch failure {
    case .notRunning(let path):
      self.init(
        "not_running", "the daemon is not running: nothing listens on \(path)",
        next: "systemctl start shadowmesh-lightnode (or name its socket with --socket)", code: 3)
    case .notPermitted(let path):
      self.init(
        "not_permitted", "you may not use \(path)",
        next: "join its group and log in again: sudo usermod -aG shadowmesh \(NSUserName())", code: 4)
    case .pathTooLong(let path):
      self.init("usage", "\(path) is too long for a socket", next: "107 bytes are the limit", code: 64)
    case .timedOut(let seconds):
      self.init(
        "timed_out", "the daemon did not answer within \(seconds) s",
        next: "look at its log: journalctl -u shadowmesh-lightnode", code: 6)
    case .connectionLost(let reason):
      self.init(
        "connection_lost", reason, next: "look at its log: journalctl -u shadowmesh-lightnode", code: 1)
    }
  }

  private init(_ failure: Keystore.Failure) {
    let code: Int32 =
      switch failure {
      case .missing: 5
      case .exists: 7
      case .notPermitted: 4
      case .unreadable(_, .passphraseNeeded), .unreadable(_, .wrongPassphrase): 4
      case .readableByOthers, .notRegular, .unreadable: 8
      case .system: 1
      }
    self.init("key", failure.description, next: failure.next, code: code)
  }
}

/// Runs a command's body; a failure is printed (to standard error, or as JSON) and becomes its exit code.
func reporting(_ output: OutputOptions, _ body: () throws -> Void) throws {
  do {
    try body()
  } catch let exit as ExitCode {
    throw exit
  } catch let error as ValidationError {
    throw error
  } catch {
    let complaint = Complaint(error)
    if output.json {
      printJSON(["error": complaint])
    } else {
      let style = Style(descriptor: 2)
      writeToStandardError("\(style.red("shadowmesh:")) \(complaint.message)")
      if !complaint.next.isEmpty { writeToStandardError("  next: \(complaint.next)") }
    }
    throw ExitCode(complaint.code)
  }
}
