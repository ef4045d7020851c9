@_exported import Foundation
@_exported import UIKit

public final class NSKeyValueObservation {}

public struct NSKeyValueObservedChange {}

public struct NSKeyValueObservingOptions: OptionSet {
    public let rawValue: UInt
    public init(rawValue: UInt) { self.rawValue = rawValue }
    public static let initial = NSKeyValueObservingOptions(rawValue: 4)
}

public struct AVMediaType {
    public static let video = AVMediaType()
}

public final class AVCaptureDevice {
    public enum Position { case front, back }
    public struct DeviceType {
        public static let builtInWideAngleCamera = DeviceType()
    }
    public final class RotationCoordinator {
        public init(device: AVCaptureDevice, previewLayer: CALayer?) {}
        public var videoRotationAngleForHorizonLevelPreview: CGFloat { fatalError() }
        public func observe<Value>(
            _ path: KeyPath<RotationCoordinator, Value>, options: NSKeyValueObservingOptions = [],
            changeHandler: @escaping (RotationCoordinator, NSKeyValueObservedChange) -> Void
        ) -> NSKeyValueObservation { fatalError() }
    }
    public static func `default`(
        _ type: DeviceType, for media: AVMediaType?, position: Position
    ) -> AVCaptureDevice? { fatalError() }
    public static func requestAccess(for media: AVMediaType) async -> Bool { fatalError() }
}

public class AVCaptureInput {}

public final class AVCaptureDeviceInput: AVCaptureInput {
    public init(device: AVCaptureDevice) throws {}
}

public final class AVCaptureConnection {
    public var isVideoMirroringSupported: Bool { fatalError() }
    public var automaticallyAdjustsVideoMirroring = true
    public var isVideoMirrored = false
    public var videoRotationAngle: CGFloat = 0
    public func isVideoRotationAngleSupported(_ angle: CGFloat) -> Bool { fatalError() }
}

public class AVCaptureOutput {
    public func connection(with media: AVMediaType) -> AVCaptureConnection? { fatalError() }
}

public protocol AVCaptureVideoDataOutputSampleBufferDelegate: AnyObject {
    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection
    )
}

public final class AVCaptureVideoDataOutput: AVCaptureOutput {
    public override init() {}
    public var videoSettings: [String: Any]!
    public var alwaysDiscardsLateVideoFrames = true
    public func setSampleBufferDelegate(
        _ delegate: AVCaptureVideoDataOutputSampleBufferDelegate?, queue: DispatchQueue?
    ) {}
}

public final class AVCaptureSession: @unchecked Sendable {
    public struct Preset {
        public static let vga640x480 = Preset()
    }
    public init() {}
    public var inputs: [AVCaptureInput] { fatalError() }
    public var outputs: [AVCaptureOutput] { fatalError() }
    public var sessionPreset = Preset.vga640x480
    public func beginConfiguration() {}
    public func commitConfiguration() {}
    public func canAddInput(_ input: AVCaptureInput) -> Bool { fatalError() }
    public func addInput(_ input: AVCaptureInput) {}
    public func removeInput(_ input: AVCaptureInput) {}
    public func addOutput(_ output: AVCaptureOutput) {}
    public func startRunning() {}
}

public final class CMSampleBuffer {}

public final class CVBuffer {}

public struct CVPixelBufferLockFlags: OptionSet {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public static let readOnly = CVPixelBufferLockFlags(rawValue: 1)
}

public let kCVPixelBufferPixelFormatTypeKey: NSString = ""
public let kCVPixelFormatType_32BGRA: UInt32 = 0
public func CMSampleBufferGetImageBuffer(_ buffer: CMSampleBuffer) -> CVBuffer? { fatalError() }
@discardableResult
public func CVPixelBufferLockBaseAddress(_ buffer: CVBuffer, _ flags: CVPixelBufferLockFlags) -> Int32 { 0 }
@discardableResult
public func CVPixelBufferUnlockBaseAddress(_ buffer: CVBuffer, _ flags: CVPixelBufferLockFlags) -> Int32 { 0 }
public func CVPixelBufferGetBaseAddress(_ buffer: CVBuffer) -> UnsafeMutableRawPointer? { fatalError() }
public func CVPixelBufferGetBytesPerRow(_ buffer: CVBuffer) -> Int { 0 }
public func CVPixelBufferGetHeight(_ buffer: CVBuffer) -> Int { 0 }
public func CVPixelBufferGetWidth(_ buffer: CVBuffer) -> Int { 0 }
