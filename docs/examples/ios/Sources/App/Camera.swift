import AVFoundation

/// Brings upright frames of a camera, on a queue of its own; late ones are left out.
final class Camera: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate {
    /// The queue that frames come on.
    let queue = DispatchQueue(label: "edge-vos.frames")
    /// Called on `queue`.
    var onFrame: (Frame) -> Void = { _ in }
    private let session = AVCaptureSession()
    private let output = AVCaptureVideoDataOutput()
    private var coordinator: AVCaptureDevice.RotationCoordinator?
    private var rotation: NSKeyValueObservation?

    /// Begin, or change to another camera.
    ///
    /// - Parameter layer: what shows the frames: how they have to be turned depends on it.
    func start(_ position: AVCaptureDevice.Position, layer: CALayer) throws {
        let found = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: position)
        guard let device = found else { throw Refusal(message: "There is no such camera.") }
        try configure(device)
        let coordinator = AVCaptureDevice.RotationCoordinator(device: device, previewLayer: layer)
        rotation = coordinator.observe(\.videoRotationAngleForHorizonLevelPreview, options: [.initial]) {
            [weak self] coordinator, _ in
            self?.turn(coordinator.videoRotationAngleForHorizonLevelPreview)
        }
        self.coordinator = coordinator
        queue.async { [session] in session.startRunning() }
    }

    private func configure(_ device: AVCaptureDevice) throws {
        let input = try AVCaptureDeviceInput(device: device)
        session.beginConfiguration()
        defer { session.commitConfiguration() }
        session.inputs.forEach(session.removeInput)
        session.sessionPreset = .vga640x480
        guard session.canAddInput(input) else { throw Refusal(message: "The camera cannot be used.") }
        session.addInput(input)
        if session.outputs.isEmpty {
            output.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_32BGRA]
            output.alwaysDiscardsLateVideoFrames = true
            output.setSampleBufferDelegate(self, queue: queue)
            session.addOutput(output)
        }
        if let connection = output.connection(with: .video), connection.isVideoMirroringSupported {
            connection.automaticallyAdjustsVideoMirroring = false
            connection.isVideoMirrored = false
        }
    }

    private func turn(_ angle: CGFloat) {
        if let connection = output.connection(with: .video), connection.isVideoRotationAngleSupported(angle) {
            connection.videoRotationAngle = angle
        }
    }

    func captureOutput(
        _ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer,
        from connection: AVCaptureConnection
    ) {
        guard let buffer = CMSampleBufferGetImageBuffer(sampleBuffer) else { return }
        CVPixelBufferLockBaseAddress(buffer, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        guard let base = CVPixelBufferGetBaseAddress(buffer) else { return }
        let size = Size(height: CVPixelBufferGetHeight(buffer), width: CVPixelBufferGetWidth(buffer))
        let bytes = base.assumingMemoryBound(to: UInt8.self)
        var rgba = [UInt8](repeating: 255, count: 4 * size.height * size.width)
        for y in 0..<size.height {
            let from = y * CVPixelBufferGetBytesPerRow(buffer)
            let to = 4 * y * size.width
            for x in stride(from: 0, to: 4 * size.width, by: 4) {
                rgba[to + x] = bytes[from + x + 2]
                rgba[to + x + 1] = bytes[from + x + 1]
                rgba[to + x + 2] = bytes[from + x]
            }
        }
        onFrame(Frame(size: size, rgba: rgba))
    }
}
