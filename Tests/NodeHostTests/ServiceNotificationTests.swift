import Testing

@testable import Daemon

@Suite("Service notifications")
struct ServiceNotificationTests {
  @Test("A reload goes with the time of CLOCK_MONOTONIC, the others alone: sd_notify(3)")
  func messages() {
    #expect(ServiceNotification.reloading.message(at: 12_345) == "RELOADING=1\nMONOTONIC_USEC=12345")
    #expect(ServiceNotification.ready.message(at: 12_345) == "READY=1")
    #expect(ServiceNotification.stopping.message(at: 12_345) == "STOPPING=1")
  }
}
