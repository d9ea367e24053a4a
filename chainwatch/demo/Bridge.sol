// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// The parameters of one transfer, in the order that Connext (Amarok) encodes and hashes them.
struct TransferInfo {
    uint32 originDomain;
    uint32 destinationDomain;
    uint32 canonicalDomain;
    address to;
    address delegate;
    bool receiveLocal;
    bytes callData;
    uint256 slippage;
    address originSender;
    uint256 bridgedAmt;
    uint256 normalizedIn;
    uint256 nonce;
    bytes32 canonicalId;
}

struct ExecuteArgs {
    TransferInfo params;
    address[] routers;
    bytes[] routerSignatures;
    address sequencer;
    bytes sequencerSignature;
}

/// A bridge that moves nothing: it only tells the story of a transfer in Connext's three events.
contract Bridge {
    event XCalled(
        bytes32 indexed transferId,
        uint256 indexed nonce,
        bytes32 indexed messageHash,
        TransferInfo params,
        address asset,
        uint256 amount,
        address local,
        bytes messageBody
    );
    event Executed(
        bytes32 indexed transferId,
        address indexed to,
        address indexed asset,
        ExecuteArgs args,
        address local,
        uint256 amount,
        address caller
    );
    event Reconciled(
        bytes32 indexed transferId,
        uint32 indexed originDomain,
        address indexed local,
        address[] routers,
        uint256 amount,
        address caller
    );

    uint8 private constant TRANSFER_MESSAGE = 3;

    uint32 public immutable domain;
    uint256 public nonce;

    constructor(uint32 domain_) {
        domain = domain_;
    }

    /// Opens a transfer. Origin, sender and nonce are the bridge's own; the rest is the caller's.
    function xcall(TransferInfo memory params, address asset) external returns (bytes32 transferId) {
        params.originDomain = domain;
        params.originSender = msg.sender;
        params.nonce = nonce++;
        transferId = keccak256(abi.encode(params));
        bytes memory messageBody = message(params, transferId);
        emit XCalled(
            transferId,
            params.nonce,
            keccak256(messageBody),
            params,
            asset,
            params.bridgedAmt,
            asset,
            messageBody
        );
    }

    /// Pays a transfer out on its destination; routers are set when they fronted the money (the fast path).
    function execute(ExecuteArgs calldata args, address asset, uint256 amount) external {
        emit Executed(
            keccak256(abi.encode(args.params)), args.params.to, asset, args, asset, amount, msg.sender
        );
    }

    /// Settles a transfer on its destination, as when the message from the origin has arrived.
    function reconcile(
        bytes32 transferId,
        uint32 originDomain,
        address local,
        address[] calldata routers,
        uint256 amount
    ) external {
        emit Reconciled(transferId, originDomain, local, routers, amount, msg.sender);
    }

    /// Emits any log at all, also one that a sound bridge never would.
    function emitLog(bytes32[] calldata topics, bytes calldata data) external {
        require(topics.length <= 4, "a log has at most four topics");
        bytes memory body = data;
        uint256 count = topics.length;
        assembly ("memory-safe") {
            let start := add(body, 32)
            let size := mload(body)
            let first := topics.offset
            let t0 := calldataload(first)
            let t1 := calldataload(add(first, 32))
            let t2 := calldataload(add(first, 64))
            let t3 := calldataload(add(first, 96))
            switch count
            case 0 { log0(start, size) }
            case 1 { log1(start, size, t0) }
            case 2 { log2(start, size, t0, t1) }
            case 3 { log3(start, size, t0, t1, t2) }
            case 4 { log4(start, size, t0, t1, t2, t3) }
        }
    }

    /// A message as Nomad frames it: header, token, transfer; its last 32 bytes are the transferId.
    function message(TransferInfo memory params, bytes32 transferId)
        private
        view
        returns (bytes memory)
    {
        return abi.encodePacked(
            abi.encodePacked(
                domain,
                bytes32(uint256(uint160(address(this)))),
                uint32(params.nonce),
                params.destinationDomain,
                bytes32(uint256(uint160(params.to)))
            ),
            params.canonicalDomain,
            params.canonicalId,
            TRANSFER_MESSAGE,
            params.bridgedAmt,
            transferId
        );
    }
}
