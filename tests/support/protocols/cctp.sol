// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

// A stand-in for Circle's CCTP, versions 1 and 2, as no npm package has all of its contracts. Written from Circle's
// documentation: the same events in the same order, the same layout of messages, nonces used once, one attester.
// Left out: roles, pauses, limits, replaced messages and hooks.

interface Handler {
    function handle(uint32 sourceDomain, bytes32 sender, uint32 finality, bytes calldata body) external;
}

/// A token that anybody may mint and burn.
contract Token {
    event Transfer(address indexed from, address indexed to, uint256 value);

    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    function burn(address from, uint256 amount) external {
        balanceOf[from] -= amount;
        emit Transfer(from, address(0), amount);
    }

    /// Needs no allowance.
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
        return true;
    }
}

/// What Circle's own messenger has tokens minted and burnt by; anybody may link tokens.
contract Minter {
    mapping(bytes32 => address) private _tokens;

    function link(uint32 domain, address remoteToken, address token) external {
        _tokens[keccak256(abi.encode(domain, bytes32(uint256(uint160(remoteToken)))))] = token;
    }

    function burn(address token, uint256 amount) external {
        Token(token).burn(address(this), amount);
    }

    function mint(uint32 domain, bytes32 remoteToken, address to, uint256 amount) external returns (address token) {
        token = _tokens[keccak256(abi.encode(domain, remoteToken))];
        Token(token).mint(to, amount);
    }
}

/// The library to which Circle's own contracts are linked.
library Message {
    function addressToBytes32(address a) external pure returns (bytes32) {
        return bytes32(uint256(uint160(a)));
    }

    function bytes32ToAddress(bytes32 word) external pure returns (address) {
        return address(uint160(uint256(word)));
    }
}

abstract contract Transmitter {
    event MessageSent(bytes message);

    uint32 public immutable localDomain;
    address public immutable attester;

    constructor(uint32 localDomain_, address attester_) {
        localDomain = localDomain_;
        attester = attester_;
    }

    function _check(bytes calldata message, bytes calldata attestation, uint32 version) internal view {
        require(attestation.length == 65, "Invalid attestation length");
        uint8 v = uint8(attestation[64]);
        address signer = ecrecover(keccak256(message), v, bytes32(attestation[:32]), bytes32(attestation[32:64]));
        require(signer != address(0) && signer == attester, "Invalid signature: not attester");
        require(uint32(bytes4(message[:4])) == version, "Invalid message version");
        require(uint32(bytes4(message[8:12])) == localDomain, "Invalid destination domain");
    }
}

abstract contract Messenger is Handler {
    Transmitter public immutable transmitter;
    Token public immutable token;
    mapping(uint32 => bytes32) public remote;

    constructor(Transmitter transmitter_, Token token_) {
        transmitter = transmitter_;
        token = token_;
    }

    function addRemote(uint32 domain, bytes32 messenger) external {
        remote[domain] = messenger;
    }

    function _checkSender(uint32 domain, bytes32 sender) internal view {
        require(msg.sender == address(transmitter), "Invalid message transmitter");
        require(sender != 0 && remote[domain] == sender, "Remote TokenMessenger unsupported");
    }

    function _word(address a) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(a)));
    }

    function _address(bytes calldata body, uint256 at) internal pure returns (address) {
        return address(uint160(uint256(bytes32(body[at:at + 32]))));
    }
}

contract TransmitterV1 is Transmitter {
    event MessageReceived(
        address indexed caller,
        uint32 sourceDomain,
        uint64 indexed nonce,
        bytes32 sender,
        bytes messageBody
    );

    uint64 public nextAvailableNonce;
    mapping(bytes32 => bool) public usedNonces;

    constructor(uint32 localDomain_, address attester_) Transmitter(localDomain_, attester_) {}

    function sendMessage(uint32 destination, bytes32 recipient, bytes calldata body) external returns (uint64 nonce) {
        nonce = nextAvailableNonce++;
        bytes32 sender = bytes32(uint256(uint160(msg.sender)));
        bytes memory head = abi.encodePacked(uint32(0), localDomain, destination, nonce, sender, recipient, bytes32(0));
        emit MessageSent(bytes.concat(head, body));
    }

    function receiveMessage(bytes calldata message, bytes calldata attestation) external {
        _check(message, attestation, 0);
        uint32 source = uint32(bytes4(message[4:8]));
        uint64 nonce = uint64(bytes8(message[12:20]));
        bytes32 sender = bytes32(message[20:52]);
        bytes32 used = keccak256(abi.encodePacked(source, nonce));
        require(!usedNonces[used], "Nonce already used");
        usedNonces[used] = true;
        Handler(address(bytes20(message[64:84]))).handle(source, sender, 0, message[116:]);
        emit MessageReceived(msg.sender, source, nonce, sender, message[116:]);
    }
}

contract MessengerV1 is Messenger {
    event DepositForBurn(
        uint64 indexed nonce,
        address indexed burnToken,
        uint256 amount,
        address indexed depositor,
        bytes32 mintRecipient,
        uint32 destinationDomain,
        bytes32 destinationTokenMessenger,
        bytes32 destinationCaller
    );
    event MintAndWithdraw(address indexed mintRecipient, uint256 amount, address indexed mintToken);

    constructor(Transmitter transmitter_, Token token_) Messenger(transmitter_, token_) {}

    function depositForBurn(uint256 amount, uint32 destination, bytes32 mintRecipient) external {
        token.burn(msg.sender, amount);
        bytes memory body =
            abi.encodePacked(uint32(0), _word(address(token)), mintRecipient, amount, _word(msg.sender));
        bytes32 to = remote[destination];
        uint64 nonce = TransmitterV1(address(transmitter)).sendMessage(destination, to, body);
        emit DepositForBurn(nonce, address(token), amount, msg.sender, mintRecipient, destination, to, 0);
    }

    function handle(uint32 source, bytes32 sender, uint32, bytes calldata body) external {
        _checkSender(source, sender);
        address recipient = _address(body, 36);
        uint256 amount = uint256(bytes32(body[68:100]));
        token.mint(recipient, amount);
        emit MintAndWithdraw(recipient, amount, address(token));
    }
}

contract TransmitterV2 is Transmitter {
    event MessageReceived(
        address indexed caller,
        uint32 sourceDomain,
        bytes32 indexed nonce,
        bytes32 sender,
        uint32 indexed finalityThresholdExecuted,
        bytes messageBody
    );

    mapping(bytes32 => bool) public usedNonces;

    constructor(uint32 localDomain_, address attester_) Transmitter(localDomain_, attester_) {}

    /// The nonce and the finality executed stay zero: the attester fills them in.
    function sendMessage(uint32 destination, bytes32 recipient, uint32 finality, bytes calldata body) external {
        bytes32 sender = bytes32(uint256(uint160(msg.sender)));
        bytes memory head = abi.encodePacked(uint32(1), localDomain, destination, bytes32(0), sender, recipient);
        emit MessageSent(bytes.concat(head, abi.encodePacked(bytes32(0), finality, uint32(0)), body));
    }

    function receiveMessage(bytes calldata message, bytes calldata attestation) external {
        _check(message, attestation, 1);
        bytes32 nonce = bytes32(message[12:44]);
        require(!usedNonces[nonce], "Nonce already used");
        usedNonces[nonce] = true;
        uint32 source = uint32(bytes4(message[4:8]));
        bytes32 sender = bytes32(message[44:76]);
        uint32 finality = uint32(bytes4(message[144:148]));
        Handler(address(bytes20(message[88:108]))).handle(source, sender, finality, message[148:]);
        emit MessageReceived(msg.sender, source, nonce, sender, finality, message[148:]);
    }
}

contract MessengerV2 is Messenger {
    event DepositForBurn(
        address indexed burnToken,
        uint256 amount,
        address indexed depositor,
        bytes32 mintRecipient,
        uint32 destinationDomain,
        bytes32 destinationTokenMessenger,
        bytes32 destinationCaller,
        uint256 maxFee,
        uint32 indexed minFinalityThreshold,
        bytes hookData
    );
    event MintAndWithdraw(
        address indexed mintRecipient,
        uint256 amount,
        address indexed mintToken,
        uint256 feeCollected
    );

    address public constant FEE_RECIPIENT = address(0xFEE);

    constructor(Transmitter transmitter_, Token token_) Messenger(transmitter_, token_) {}

    function depositForBurn(
        uint256 amount,
        uint32 destination,
        bytes32 mintRecipient,
        uint256 maxFee,
        uint32 finality
    ) external {
        require(maxFee < amount, "Max fee must be less than amount");
        token.burn(msg.sender, amount);
        bytes memory body =
            abi.encodePacked(uint32(1), _word(address(token)), mintRecipient, amount, _word(msg.sender), maxFee);
        body = bytes.concat(body, abi.encodePacked(uint256(0), uint256(0))); // fee executed, expiration block
        bytes32 to = remote[destination];
        TransmitterV2(address(transmitter)).sendMessage(destination, to, finality, body);
        emit DepositForBurn(
            address(token), amount, msg.sender, mintRecipient, destination, to, 0, maxFee, finality, ""
        );
    }

    function handle(uint32 source, bytes32 sender, uint32 finality, bytes calldata body) external {
        _checkSender(source, sender);
        uint256 fee = finality < 2000 ? uint256(bytes32(body[164:196])) : 0;
        require(fee <= uint256(bytes32(body[132:164])), "Fee exceeds max fee");
        address recipient = _address(body, 36);
        uint256 amount = uint256(bytes32(body[68:100])) - fee;
        token.mint(recipient, amount);
        if (fee > 0) token.mint(FEE_RECIPIENT, fee);
        emit MintAndWithdraw(recipient, amount, address(token), fee);
    }
}
